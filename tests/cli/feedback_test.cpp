// precept label, train dpo, train reward, train grpo and align, on the built-in model and a few prompts.

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

class Feedback : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (HasFatalFailure() || !has_engine()) return;
    ASSERT_EQ(run("pocket prompts --count 16 --seed 5 --out few.jsonl --quiet").code, 0);
  }
  nlohmann::json json(const Ran& ran) const { return nlohmann::json::parse(ran.out, nullptr, false); }
};

TEST_F(Feedback, LabelsAreTheSameBytesWhateverTheBatchAndAgreeWithTheOracle) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const Ran one = run("label --quiet --json --model pocket --prompts few.jsonl --run one --batch 1 --threads 1");
  ASSERT_EQ(one.code, 0) << one.err;
  ASSERT_EQ(run("label --quiet --model pocket --prompts few.jsonl --run two --batch 64 --concurrency 3").code, 0);
  EXPECT_EQ(slurp(path("one/labels.jsonl")), slurp(path("two/labels.jsonl")));
  const auto report = json(one);
  EXPECT_GT(report["pairs"], 20);
  EXPECT_EQ(report["unparseable"], 0);
  EXPECT_TRUE(report["position_bias"].is_null());
  EXPECT_GT(report["by_principle"]["agreement"]["value"], 0.8);
  // Again: nothing new, the same file.
  const std::string labels = slurp(path("one/labels.jsonl"));
  ASSERT_EQ(run("label --quiet --model pocket --prompts few.jsonl --run one").code, 0);
  EXPECT_EQ(slurp(path("one/labels.jsonl")), labels);
  // Both orders in one request: a bias is measured.
  const Ran ab = run("label --quiet --json --compare ab --samples 2 --model pocket --prompts few.jsonl --run ab");
  ASSERT_EQ(ab.code, 0) << ab.err;
  EXPECT_TRUE(json(ab)["position_bias"].is_object());
  expect_error(run("label --model pocket --prompts few.jsonl --run ab"), 2);
  expect_error(run("label --model pocket --run x"), 2, "no prompts are given");
  expect_error(run("label --model pocket --prompts few.jsonl --reasoning --run x"), 2, "reasoning");
}

TEST_F(Feedback, PairsTrainARewardModelAndAPolicy) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  std::string pairs;
  for (int i = 0; i < 24; ++i) {
    pairs += R"({"prompt":"Good day number )" + std::to_string(i) + R"(.","chosen":"I wish you a fine day.","rejected":"You are stupid, go away.","label":0.9})" "\n";
  }
  put("pairs.jsonl", pairs);
  const Ran reward = run("train reward --quiet --json --data pairs.jsonl --out rm --epochs 4 --held-out-share 0.3");
  ASSERT_EQ(reward.code, 0) << reward.err;
  EXPECT_EQ(json(reward)["held_out_accuracy"]["value"], 1.0) << reward.out;
  EXPECT_TRUE(std::filesystem::exists(path("rm/value_head.safetensors")));
  const Ran dpo = run("train dpo --quiet --json --data pairs.jsonl --out dpo --panel 0");
  ASSERT_EQ(dpo.code, 0) << dpo.err;
  EXPECT_LT(json(dpo)["last_loss"], 0.7);
  const Ran rl = run("train grpo --quiet --json --model pocket --prompts few.jsonl --prompts-per-step 4 --samples 4 --panel 20 --guard-every 2"
                     " --reward-model rm --out rl");
  ASSERT_EQ(rl.code, 0) << rl.err << rl.out;
  EXPECT_EQ(json(rl)["steps"], 4);
  EXPECT_NE(slurp(path("rl/metrics.jsonl")).find("reward_reward_model"), std::string::npos);
  EXPECT_NE(slurp(path("rl/metrics.jsonl")).find("reward_judge"), std::string::npos);
  EXPECT_NE(slurp(path("rl/metrics.jsonl")).find("guard_truth"), std::string::npos);
}

// Tasks are asked as `solve` asks them; their tests are a term of the reward.
TEST_F(Feedback, UnitTestsAreARewardOfReinforcementLearning) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_EQ(run("pocket tasks --count 8 --out tiny.jsonl").code, 0);
  const Ran rl = run("train grpo --quiet --json --model pocket --tasks tiny.jsonl --judge-weight 0 --prompts-per-step 4 --samples 2 --max-new-tokens 12"
                     " --panel 0 --epochs 1 --out code");
  ASSERT_EQ(rl.code, 0) << rl.err << rl.out;
  EXPECT_EQ(json(rl)["steps"], 2);
  EXPECT_NE(slurp(path("code/metrics.jsonl")).find("\"reward_tests\",\"step\":2"), std::string::npos);
}

TEST_F(Feedback, PairsThatAreNoneAreRefusedByNumber) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  for (const char* line : {R"({"prompt":"a","chosen":"b"})", R"({"prompt":5,"chosen":"b","rejected":"c"})", R"({"chosen":"x","rejected":"y"})",
                           R"({"prompt":"a","chosen":"b","rejected":"c","label":2})", "[]",
                           R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: other\n\nAssistant: c"})"}) {
    put("pairs.jsonl", R"({"prompt":"a","chosen":"b","rejected":"c"})" + std::string("\n") + line + "\n");
    expect_error(run("train dpo --data pairs.jsonl --out d"), 2, "pairs.jsonl:2:");
  }
  expect_error(run("train grpo --model pocket --prompts few.jsonl --judge-weight 0 --out x"), 2, "nothing to reward");
  expect_error(run("train grpo --model pocket --tasks few.jsonl --prompts few.jsonl --out x"), 2, "--tasks are prompts themselves");
  expect_error(run("train grpo --model pocket --tasks none.jsonl --out x"), 2, "none.jsonl");
  expect_error(run("train grpo --model pocket --prompts few.jsonl --reward-model none --out x"), 2);
  expect_error(run("train dpo --loss hinge --data pairs.jsonl --out d"), 2, "--loss");
}

// Small rounds: on so few answers to learn from their steps must be large.
constexpr const char* kAlign = "align --quiet --pocket-prompts 24 --panel 60 --judge-cases 12 --label-samples 2 --rl-prompts-per-step 8 --rl-samples 4"
                               " --rl-epochs 1 --sl-epochs 2";

TEST_F(Feedback, RoundsResumeAndKeepTheirRecipe) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string arguments = std::string(kAlign) + " --out a --rounds 1";
  const Ran first = run(arguments);
  ASSERT_LE(first.code, 1) << first.err;
  const auto rounds = nlohmann::json::parse(slurp(path("a/rounds.json")), nullptr, false);
  ASSERT_EQ(rounds["rounds"].size(), 1U);
  EXPECT_EQ(rounds["start"]["violation_rate"]["n"], 60);
  EXPECT_EQ(rounds["rounds"][0]["violation_rate"]["n"], 60);
  EXPECT_GT(rounds["rounds"][0]["judge_judges"]["value"], 0.8) << "the built-in model judges its own world";
  EXPECT_NE(first.out.find("round 1: "), std::string::npos) << first.out;
  // As a kill before the decision leaves it: the same again, without training.
  const std::string before = slurp(path("a/rounds.json"));
  std::filesystem::remove(path("a/rounds.json"));
  const auto written = std::filesystem::last_write_time(path("a/models/round-1/model.safetensors"));
  ASSERT_EQ(run(arguments).code, first.code);
  EXPECT_EQ(slurp(path("a/rounds.json")), before);
  EXPECT_EQ(std::filesystem::last_write_time(path("a/models/round-1/model.safetensors")), written);
  expect_error(run(arguments + " --seed 3"), 2, "another recipe");
}

// The same round, healthy and with what is rewarded turned round, where a fourth of the answers breaks a rule.
TEST_F(Feedback, APoisonedRoundIsRolledBackAndSaysWhy) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string arguments = "align --quiet --pocket-prompts 64 --panel 300 --judge-cases 0 --rounds 1 --reward-model-weight 0 --guard=false"
                                " --rl-prompts-per-step 16 --rl-samples 6 --rl-lr 0.0006 --rl-epochs 2";
  const Ran healthy = run(arguments + " --out healthy");
  ASSERT_EQ(healthy.code, 0) << healthy.out << healthy.err;
  EXPECT_NE(healthy.out.find("round 1: go on, since on the panel violations fell from"), std::string::npos) << healthy.out;
  const Ran poisoned = run(arguments + " --out poisoned --poison-round 1");
  EXPECT_EQ(poisoned.code, 1) << poisoned.out << poisoned.err;
  EXPECT_NE(poisoned.out.find("round 1: roll back, since on the panel violations rose from"), std::string::npos) << poisoned.out;
  const auto rounds = nlohmann::json::parse(slurp(path("poisoned/rounds.json")), nullptr, false);
  EXPECT_EQ(rounds["model"], "models/sl") << "where the round began";
  EXPECT_EQ(rounds["rounds"][0]["kept"], "models/sl");
  EXPECT_NE(rounds["digest"], rounds["rounds"][0]["digest"]);
}

// Elsewhere than in the pocket world pairs with labels decide.
TEST_F(Feedback, LabelledPairsDecideBetweenRounds) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_EQ(run("label --quiet --model pocket --prompts few.jsonl --run labelled").code, 0);
  const Ran ran = run(std::string(kAlign) + " --out p --rounds 1 --sl=false --panel-labels labelled/labels.jsonl");
  ASSERT_LE(ran.code, 1) << ran.err;
  const auto rounds = nlohmann::json::parse(slurp(path("p/rounds.json")), nullptr, false);
  EXPECT_GT(rounds["start"]["preference"]["n"], 20);
  EXPECT_GT(rounds["start"]["judgment"]["value"], 0.7) << "labels that this very model gave, by one principle each";
  EXPECT_NE(ran.out.find("preference"), std::string::npos) << ran.out;
  put("same.jsonl", R"({"prompt":"Hello.","chosen":"a","rejected":"b"})" "\n");
  put("hello.jsonl", R"({"prompt":"Hello."})" "\n");
  expect_error(run("align --out q --prompts hello.jsonl --panel-labels same.jsonl"), 2, "same.jsonl");
}

}  // namespace
}  // namespace precept
