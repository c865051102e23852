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

}  // namespace
}  // namespace precept
