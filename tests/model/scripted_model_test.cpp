#include "precept/model/scripted_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "tests/model/contract.h"

namespace precept {
namespace {

class ScriptFile {
 public:
  explicit ScriptFile(const std::string& text) {
    path_ = (std::filesystem::temp_directory_path() / ("script-" + std::to_string(::getpid()) + ".jsonl")).string();
    std::ofstream(path_, std::ios::binary) << text;
  }
  ~ScriptFile() { std::filesystem::remove(path_); }
  ScriptFile(const ScriptFile&) = delete;
  ScriptFile& operator=(const ScriptFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr char kScript[] =
    "{\"name\": \"test\", \"can_score\": true, \"latency\": 5}\n"
    "\n"
    "{\"match\": [\"fox\", \"kind\"], \"scores\": {\"Yes\": -0.1, \"No\": -2.5, \"Perhaps not\": -4}}\n"
    "{\"match\": \"animal\", \"scores\": {\"Yes\": -0.5}}\n"
    "{\"match\": \"fox\", \"reply\": \"Once there was a fox who said: {last}\"}\n"
    "{\"match\": \"broken\", \"fail\": \"the line is dead\"}\n";

Result<Generation> ask(Model& model, const std::string& text) {
  Result<Generation> answer = failed("nothing came");
  GenerateRequest request;
  request.messages = {{"user", text}};
  model.submit(request, [&](Result<Generation> given) { answer = std::move(given); });
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  return answer;
}

TEST(ScriptedModel, KeepsTheModelContract) {
  const ScriptFile file(kScript);
  contract::ModelContract contract;
  contract.open = [&] { return std::move(*open_scripted(file.path())); };
  contract.can_score = true;
  contract::check_model_contract(contract);
}

TEST(ScriptedModel, KeepsTheContractWithoutScores) {
  contract::ModelContract contract;
  contract.open = [] {
    Script script;
    script.can_score = false;
    script.rules = {{ScriptedRule::Kind::kReply, {}, "Once there was a fox.", {}}};
    return std::make_unique<ScriptedModel>(script);
  };
  contract::check_model_contract(contract);
}

TEST(ScriptedModel, TheFirstRuleThatMatchesAnswers) {
  const ScriptFile file(kScript);
  auto model = open_scripted(file.path());
  ASSERT_TRUE(model.has_value()) << model.error().message();
  EXPECT_EQ(ask(**model, "a fox")->text, "Once there was a fox who said: a fox");
  EXPECT_EQ(ask(**model, "broken").error().what, "the line is dead");
  EXPECT_FALSE(ask(**model, "a goose").has_value()) << "no rule, no answer";
}

TEST(ScriptedModel, LatencyReordersCompletions) {
  Script script;
  script.latency = 20;
  script.rules = {{ScriptedRule::Kind::kReply, {}, "ok", {}}};
  ScriptedModel model(script);
  std::vector<int> order;
  for (int i = 0; i < 50; ++i) {
    GenerateRequest request;
    request.messages = {{"user", std::to_string(i)}};
    model.submit(request, [&order, i](const Result<Generation>&) { order.push_back(i); });
  }
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_EQ(order.size(), 50U);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST(ScriptedModel, BadScriptsAreRefusedWithTheirLine) {
  const std::pair<std::string, int> bad[] = {
      {"", 0},
      {"\n\n", 0},
      {"{\"name\": \"x\"}\n", 0},
      {"{\"match\": \"\"}", 1},
      {"{\"match\": \"\", \"reply\": \"a\"}\n{\"match\": 3, \"reply\": \"a\"}", 2},
      {"{\"match\": \"\", \"reply\": \"a\", \"fail\": \"b\"}", 1},
      {"{\"reply\": \"a\"}", 1},
      {"{\"match\": \"\", \"replies\": \"a\"}", 1},
      {"{\"latency\": -1}\n{\"match\": \"\", \"reply\": \"a\"}", 1},
      {"{\"latency\": \"x\"}\n{\"match\": \"\", \"reply\": \"a\"}", 1},
      {"{\"match\": \"\", \"scores\": {\"yes\": \"high\"}}", 1},
      {"[1]", 1},
      {"{\"match\"", 1},
      {std::string(100000, '['), 1},
  };
  for (const auto& [text, line] : bad) {
    const ScriptFile file(text);
    const auto script = load_script(file.path());
    ASSERT_FALSE(script.has_value()) << text.substr(0, 80);
    EXPECT_EQ(script.error().line, line) << text.substr(0, 80);
    EXPECT_EQ(script.error().file, file.path());
  }
  EXPECT_FALSE(load_script("/no/such/script.jsonl").has_value());
}

}  // namespace
}  // namespace precept
