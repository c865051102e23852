// precept chat without a terminal: lines in, answers out.

#include <algorithm>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

class Chat : public ProgramTest {
 protected:
  Ran chat(const std::string& lines, const std::string& arguments = "") const {
    return run("chat --model scripted:script.jsonl " + arguments, "printf '" + lines + "' |");
  }
};

TEST_F(Chat, AnswersEachLineWithTheConversationBeforeIt) {
  put("script.jsonl",
      "{\"name\":\"s\",\"can_score\":false}\n{\"match\":\"second\",\"reply\":\"two\"}\n{\"match\":\"first\",\"reply\":\"one\"}\n");
  const Ran ran = chat("first\\n\\nsecond\\n/exit\\nthird\\n");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "one\ntwo\n");
}

TEST_F(Chat, CommandsChangeTheConversation) {
  const Ran ran = chat("/system Be brief.\\nHi\\n/save kept.jsonl\\n/undo\\n/save undone.jsonl\\n/reset\\n/save fresh.jsonl\\n/what\\n");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(slurp(path("kept.jsonl")),
            "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\",\"content\":\"Hi\"},"
            "{\"role\":\"assistant\",\"content\":\"no\"}]}\n");
  EXPECT_EQ(slurp(path("undone.jsonl")), "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"}]}\n");
  EXPECT_EQ(slurp(path("fresh.jsonl")), slurp(path("undone.jsonl"))) << "a system prompt outlives /reset";
  EXPECT_NE(ran.out.find("/undo"), std::string::npos) << "an unknown command shows those that there are";
}

TEST_F(Chat, TheConstitutionJudgesOnRequest) {
  put("script.jsonl",
      "{\"name\":\"s\",\"can_score\":false}\n{\"match\":\"insult\",\"reply\":\"You fool.\"}\n{\"match\":\"\",\"reply\":\"1: yes\"}\n");
  const Ran ran = chat("insult\\n", "--constitution good.toml --judge scripted:judge.jsonl");
  expect_error(ran, 2, "judge.jsonl");
  put("judge.jsonl", "{\"name\":\"j\",\"can_score\":false}\n{\"match\":\"\",\"reply\":\"1: yes\"}\n");
  const Ran judged = chat("insult\\n", "--constitution good.toml --judge scripted:judge.jsonl");
  EXPECT_EQ(judged.code, 0) << judged.err;
  EXPECT_EQ(judged.out, "You fool.\n  violates: kind\n");
  put("judge.jsonl", "{\"name\":\"j\",\"can_score\":false}\n{\"match\":\"\",\"reply\":\"1: no\"}\n");
  EXPECT_EQ(chat("insult\\n", "--constitution good.toml --judge scripted:judge.jsonl").out, "You fool.\n  no principle applies\n");
}

TEST_F(Chat, AMessageOfSeveralLinesStandsBetweenQuotes) {
  const Ran ran = chat("\"\"\"/not a command\\nof two lines\"\"\"\\n\"\"\"one line\"\"\"\\n/save kept.jsonl\\n");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(slurp(path("kept.jsonl")),
            "{\"messages\":[{\"role\":\"user\",\"content\":\" /not a command\\nof two lines\"},{\"role\":\"assistant\",\"content\":\"no\"},"
            "{\"role\":\"user\",\"content\":\"one line\"},{\"role\":\"assistant\",\"content\":\"no\"}]}\n");
}

TEST_F(Chat, EndpointsTakeTheirOptionsAndJudgeByProbabilities) {
  TestServer server({.content = [](const nlohmann::json&) -> Result<std::string> { return "fine"; }});
  const Ran ran = run("chat --judged --constitution good.toml --model '" + server.base() + "#test' --api-key-env MY_KEY --header 'X-Team: blue'",
                      "printf 'Hello\\n' | MY_KEY=sk-12345678");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out.substr(0, 5), "fine\n") << ran.out;
  EXPECT_TRUE(ran.out.find("no principle applies") != std::string::npos || ran.out.find("(violates with p = ") != std::string::npos) << ran.out;
  const TestServerStats stats = server.stats();
  EXPECT_EQ(stats.authorizations, std::vector<std::string>{"Bearer sk-12345678"});
  EXPECT_NE(std::find(stats.headers.begin(), stats.headers.end(), "X-Team: blue"), stats.headers.end());
  EXPECT_EQ(nlohmann::json::parse(stats.last_body)["top_logprobs"], 20) << "the judge is asked for candidates";
  // A ceiling ends the chat in a pipe.
  const Ran ended = run("chat --model '" + server.base() + "#test' --max-total-tokens 5", "printf 'Hello\\nagain\\nand again\\n' |");
  EXPECT_EQ(ended.code, 3) << ended.out;
  EXPECT_NE(ended.err.find("the ceiling of 5 tokens is reached"), std::string::npos) << ended.err;
}

TEST_F(Chat, WrongEncodingIsAnError) { expect_error(chat("a\\377\\n"), 2, "byte 2"); }

}  // namespace
}  // namespace precept
