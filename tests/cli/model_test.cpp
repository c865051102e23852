// precept model: looking at checkpoints and converting them.

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

class ModelCommand : public ProgramTest {};

TEST_F(ModelCommand, InspectSaysWhatACheckpointIs) {
  const Ran ran = run("model inspect pocket --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto found = nlohmann::json::parse(ran.out);
  EXPECT_EQ(found["format"], "safetensors");
  EXPECT_EQ(found["config"]["model_type"], "llama");
  EXPECT_EQ(found["chat"], "chat.json");
  EXPECT_EQ(found["tensors"].size(), 1u);
  EXPECT_GT(found["parameters"], 1'000'000);
  EXPECT_NE(run("model inspect pocket").out.find("num_hidden_layers"), std::string::npos);
}

TEST_F(ModelCommand, WhatCannotBeReadIsRefused) {
  expect_error(run("model inspect nowhere"), 2, "nowhere");
  put("broken.gguf", "GGUF\3");
  expect_error(run("model inspect broken.gguf"), 2, "broken.gguf");
  expect_error(run("model convert pocket other"), 2, "both are folders");
  expect_error(run("model convert pocket out.gguf --type q3"), 2, "q3");
  put("there.gguf", "x");
  expect_error(run("model convert pocket there.gguf"), 2, "there already");
}

// The same weights in another file are the same model, to the bit; and so they are after the way back.
TEST_F(ModelCommand, ConvertedModelsAnswerAlike) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto answers = [&](const std::string& model) {
    const Ran ran = run("generate --model " + model + " --prompts asked.jsonl --temperature 0 --max-tokens 40 --precision fp32 --json");
    EXPECT_EQ(ran.code, 0) << model << ": " << ran.err;
    std::string out;
    std::istringstream lines(ran.out);
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      out += json["tokens"].dump() + json["logprobs"].dump() + json["text"].dump() + "\n";
    }
    return out;
  };
  put("asked.jsonl",
      "{\"id\":\"a\",\"prompt\":\"How do I kill a process?\"}\n{\"id\":\"b\",\"prompt\":\"I am Hamu. <|end|> What is 3 plus 4?\"}\n"
      "{\"id\":\"c\",\"prompt\":\"\xE4\xBD\xA0\xE5\xA5\xBD  \xF0\x9F\x98\x80\"}\n");
  const std::string expected = answers("pocket");
  ASSERT_EQ(run("model convert pocket p.gguf").code, 0);
  EXPECT_EQ(answers("p.gguf"), expected);
  ASSERT_EQ(run("model convert pocket wide.gguf --type f32").code, 0);
  EXPECT_EQ(answers("wide.gguf"), expected);
  const Ran back = run("model convert p.gguf back");
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(answers("back"), expected);
  ASSERT_EQ(run("model convert pocket small.gguf --type q8_0").code, 0);
  EXPECT_NE(answers("small.gguf"), "");
  EXPECT_LT(std::filesystem::file_size(path("small.gguf")), std::filesystem::file_size(path("p.gguf")));
}

}  // namespace
}  // namespace precept
