// precept train sft learns the answers that it was given to learn, and only those.

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

class Train : public ProgramTest {
 protected:
  nlohmann::json train(const std::string& line) {
    put("data.jsonl", line + "\n");
    const Ran ran = run("train sft --quiet --json --epochs 1 --data data.jsonl --out sl --state state" + std::to_string(++runs_));
    EXPECT_EQ(ran.code, 0) << ran.err;
    return nlohmann::json::parse(ran.out, nullptr, false);
  }
  int runs_ = 0;
};

TEST_F(Train, WhatTheAssistantSaidInThePromptIsNotLearnt) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string turns = R"({"role":"user","content":"Hello."},{"role":"assistant","content":"You are stupid, go away."},)"
                            R"({"role":"user","content":"Good day to you."})";
  const std::string answer = "I wish you a fine day.", last = R"({"role":"assistant","content":")" + answer + R"("})";
  const auto alone = train(R"({"prompt":"Good day to you.","completion":")" + answer + "\"}");
  const auto later = train(R"({"prompt":[)" + turns + R"(],"completion":[)" + last + "]}");
  const auto all = train(R"({"messages":[)" + turns + "," + last + "]}");
  EXPECT_GT(alone["trained_tokens"], 3);
  EXPECT_EQ(later["trained_tokens"], alone["trained_tokens"]);
  EXPECT_GT(later["tokens"], alone["tokens"]);
  EXPECT_EQ(all["tokens"], later["tokens"]);
  EXPECT_GT(all["trained_tokens"], later["trained_tokens"]) << "in the messages shape every answer is one to learn";
}

TEST_F(Train, LinesWithoutAnAnswerAreRefusedByNumber) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  for (const char* line : {R"({"prompt":"a"})", R"({"completion":"a"})", R"({"prompt":"a","completion":""})", R"({"prompt":"a","completion":[]})",
                           R"({"prompt":"a","completion":[{"role":"user","content":"b"}]})", R"({"messages":[]})",
                           R"({"prompt":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"completion":[]})"}) {
    put("data.jsonl", R"({"prompt":"a","completion":"b"})" + std::string("\n") + line + "\n");
    const Ran ran = run("train sft --data data.jsonl --out sl");
    EXPECT_EQ(ran.code, 2) << line;
    EXPECT_NE(ran.err.find("data.jsonl:2: no answer to train on"), std::string::npos) << line << "\n" << ran.err;
  }
}

TEST_F(Train, TurnsThatAreNoneAreRefusedByNumber) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  for (const char* line : {R"({"messages":7})", R"({"messages":"a"})", R"({"prompt":5,"completion":"b"})", R"({"prompt":"a","completion":5})",
                           R"({"messages":["x",{"role":"assistant","content":"b"}]})", R"({"messages":[{"role":"assistant","content":7}]})",
                           R"({"messages":[{"content":"a"},{"role":"assistant","content":"b"}]})"}) {
    put("data.jsonl", std::string(line) + "\n");
    const Ran ran = run("train sft --data data.jsonl --out sl");
    EXPECT_EQ(ran.code, 2) << line;
    EXPECT_NE(ran.err.find("is neither a text nor a list of"), std::string::npos) << line << "\n" << ran.err;
  }
}

// The adapter's folder answers as it was trained to, its base does not; and so does the merged checkpoint.
TEST_F(Train, AnAdapterIsTrainedOpenedAndMerged) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  std::string lines;
  for (int i = 0; i < 8; ++i) lines += R"({"prompt":"How do I kill a process?","completion":"I wish you a fine day."})" "\n";
  put("data.jsonl", lines);
  const std::string common = "train sft --quiet --data data.jsonl --epochs 30 --batch-tokens 64 --lr 0.01 --panel 0 ";
  const Ran ran = run(common + "--out one --json --lora --lora-rank 4 --lora-alpha 8 --lora-targets q_proj,v_proj,down_proj --merge");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_LT(json["last_loss"], 0.5);
  EXPECT_EQ(json["merged"], "one-merged");
  const auto config = nlohmann::json::parse(slurp(path("one/adapter_config.json")));
  EXPECT_EQ(config["r"], 4);
  EXPECT_EQ(config["target_modules"], nlohmann::json({"q_proj", "v_proj", "down_proj"}));
  const std::string ask = " --prompt \"How do I kill a process?\" --temperature 0 --quiet";
  const Ran adapted = run("generate --model one" + ask), merged = run("generate --model one-merged" + ask), base = run("generate --model pocket" + ask);
  EXPECT_NE(adapted.out.find("I wish you a fine day."), std::string::npos) << adapted.out << adapted.err;
  EXPECT_EQ(merged.out, adapted.out) << merged.err;
  EXPECT_NE(base.out, adapted.out);

  // So does what `model convert` makes of it; each folder says what it is.
  ASSERT_EQ(run("model convert one by-hand").code, 0);
  EXPECT_EQ(slurp(path("by-hand/model.safetensors")), slurp(path("one-merged/model.safetensors")));
  const auto look = nlohmann::json::parse(run("model inspect one --json").out);
  EXPECT_EQ(look["format"], "peft");
  EXPECT_EQ(look["digest"], json["digest"]);
  EXPECT_EQ(look["modules"], 18);
  expect_error(run("model convert one one.gguf"), 2, "is an adapter, which is not written as GGUF");
  EXPECT_NE(slurp(path("one/README.md")).find("library_name: peft\n"), std::string::npos);
  EXPECT_NE(slurp(path("one/README.md")).find(json["digest"].get<std::string>()), std::string::npos);
  EXPECT_NE(slurp(path("one-merged/README.md")).find("library_name: transformers\n"), std::string::npos);

  // The recipe that lies beside the adapter makes it again.
  const Ran again = run("train sft --quiet --recipe one/recipe.toml --out two");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(slurp(path("two/adapter_model.safetensors")), slurp(path("one/adapter_model.safetensors")));
  expect_error(run(common + "--out three --lora-rank 8"), 2, "no adapter is trained");
  expect_error(run(common + "--out three --lora --lora-targets lm_head"), 2, "lm_head");
  expect_error(run(common + "--out three --model one"), 2, "is an adapter");
}

}  // namespace
}  // namespace precept
