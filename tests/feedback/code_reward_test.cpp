// The reward of programs: tests and a reviewer's word, each a term of its own.

#include <algorithm>
#include <cmath>

#include "precept/feedback/code_reward.h"
#include "precept/model/scripted_model.h"
#include "tests/feedback/sandbox_support.h"

namespace precept {
namespace {

std::vector<CodeTask> two_tasks() {
  std::vector<CodeTask> tasks(2);
  tasks[0].id = "add";
  tasks[1].id = "sub";
  for (CodeTask& task : tasks) {
    task.prompt = "def " + task.id + "(a, b):\n";
    task.entry_point = task.id;
    task.test = "def check(c):\n    assert c(5, 3) == " + std::string(task.id == "add" ? "8" : "2") + "\n";
  }
  return tasks;
}

RewardInput answer(const std::string& id, const std::string& body) {
  return {id, {{"user", "Write " + id}}, "```python\ndef " + id + "(a, b):\n    " + body + "\n```", 10, false, 0};
}

Constitution code_constitution() {
  auto constitution = load_constitution("constitutions/code.toml");
  EXPECT_TRUE(constitution) << constitution.error().message();
  return *constitution;
}

SandboxLimits limits() {
  SandboxLimits all = code_limits();
  all.wall_seconds = 300;
  return all;
}

TEST(CodeReward, TheConstitutionThatComesWithPreceptIsSound) {
  const auto findings = check_constitution("constitutions/code.toml");
  for (const Finding& finding : findings) ADD_FAILURE() << finding.line << ": " << finding.what;
}

TEST(CodeReward, TestsAloneNeedNoReviewer) {
  const auto tasks = two_tasks();
  CodeReward reward(tasks, the_sandbox(), limits(), nullptr, nullptr);
  EXPECT_EQ(reward.terms(), std::vector<std::string>{"tests"});
  const RewardInput inputs[] = {answer("add", "return a + b"), answer("sub", "return a + b"), answer("sub", "return a - b")};
  const auto rows = reward.score(inputs);
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(*(*rows)[0][0].value, 1);
  EXPECT_EQ(*(*rows)[1][0].value, 0);
  EXPECT_EQ((*rows)[1][0].why, "AssertionError");
  EXPECT_EQ(*(*rows)[2][0].value, 1);
}

// A reviewer with log-probs: p(breaks) of each principle by a word of the program.
TEST(CodeReward, AReviewerWithLogProbsGivesProbabilities) {
  const auto tasks = two_tasks();
  const Constitution constitution = code_constitution();
  Script script;
  script.on_score = [](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    for (const ScoreQuestion& question : request.questions) {
      const bool unclear = request.messages[0].content.find("zz") != std::string::npos && question.tail.find("reader") != std::string::npos;
      const double p = unclear ? 0.9 : 0.2;
      scores.logprobs.push_back({std::log(p), std::log(1 - p)});
    }
    return scores;
  };
  ScriptedModel reviewer(script);
  CodeReward reward(tasks, the_sandbox(), limits(), &reviewer, &constitution);
  EXPECT_EQ(reward.terms(), (std::vector<std::string>{"tests", "correctness", "maintainability", "clarity"}));
  const RewardInput inputs[] = {answer("add", "zz = a + b\n    return zz"), answer("add", "return 0")};
  const auto rows = reward.score(inputs);
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(*(*rows)[0][0].value, 1);
  EXPECT_NEAR(*(*rows)[0][1].value, 0.8, 1e-9);
  EXPECT_NEAR(*(*rows)[0][3].value, 0.1, 1e-9);
  EXPECT_EQ(*(*rows)[1][0].value, 0);
  EXPECT_NEAR(*(*rows)[1][3].value, 0.8, 1e-9) << "what fails its tests is reviewed all the same";
}

TEST(CodeReward, AReviewerWithoutLogProbsIsRead) {
  const auto tasks = two_tasks();
  const Constitution constitution = code_constitution();
  Script script;
  script.can_score = false;
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    if (request.messages[0].content.find("zz") != std::string::npos) return Result<std::string>("1: complies\n2: violates\nI am not sure.");
    if (request.messages[0].content.find("yy") != std::string::npos) return Result<std::string>(failed("overloaded"));
    return Result<std::string>("1: complies\n2: complies\n3: violates");
  };
  ScriptedModel reviewer(script);
  CodeReward reward(tasks, the_sandbox(), limits(), &reviewer, &constitution);
  const RewardInput inputs[] = {answer("add", "return a + b"), answer("add", "zz = 1\n    return a + b"), answer("add", "yy = 1\n    return a + b")};
  const auto rows = reward.score(inputs);
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(*(*rows)[0][1].value, 1);
  EXPECT_EQ(*(*rows)[0][3].value, 0);
  EXPECT_EQ(*(*rows)[1][2].value, 0);
  EXPECT_FALSE((*rows)[1][3].value) << "what cannot be read is unscored, no zero";
  EXPECT_NE((*rows)[1][3].why.find("clarity cannot be read"), std::string::npos) << (*rows)[1][3].why;
  EXPECT_FALSE((*rows)[2][1].value);
  EXPECT_NE((*rows)[2][1].why.find("overloaded"), std::string::npos);
  EXPECT_EQ(*(*rows)[2][0].value, 1) << "the tests have their own say";
}

TEST(CodeReward, MixesWithWeights) {
  const auto tasks = two_tasks();
  const Constitution constitution = code_constitution();
  Script script;
  script.can_score = false;
  script.on_generate = [](const GenerateRequest&) { return Result<std::string>("1: complies\n2: violates\n3: complies"); };
  ScriptedModel reviewer(script);
  const auto mix = RewardMix::make({{std::make_shared<CodeReward>(tasks, the_sandbox(), limits(), &reviewer, &constitution), {1.0, 0.2, 0.1, 0.1}}});
  ASSERT_TRUE(mix) << mix.error().message();
  const RewardInput input = answer("add", "return a + b");
  const auto rewards = mix->score({&input, 1});
  ASSERT_TRUE(rewards);
  EXPECT_NEAR(*(*rewards)[0].total, 1.0 + 0.2 + 0.1, 1e-12);
}

TEST(CodeReward, AnUnknownTaskIsAnError) {
  const auto tasks = two_tasks();
  CodeReward reward(tasks, the_sandbox(), limits(), nullptr, nullptr);
  const RewardInput input = answer("mul", "return a * b");
  const auto rows = reward.score({&input, 1});
  ASSERT_FALSE(rows);
  EXPECT_NE(rows.error().what.find("\"mul\""), std::string::npos);
}

}  // namespace
}  // namespace precept
