// The judge and the text as rewards.
#include <gtest/gtest.h>

#include <cmath>

#include "precept/feedback/judge_reward.h"
#include "precept/feedback/text_reward.h"
#include "tests/revise/fixture.h"

namespace precept {
namespace {

using testing_loop::has;
using testing_loop::small_constitution;
using testing_loop::yes_with;

RewardInput reply(std::string text, std::int64_t tokens = 5, bool cut = false) { return {"p", {{"user", "Hello"}}, std::move(text), tokens, cut, 0}; }

// "Be kind." and "Be brief." apply; rude breaks the first with 0.8, long the second with 0.7; else 0.1.
Script script_of(int& selections, bool can_score = true) {
  Script script;
  script.name = script.digest = "judge";
  script.can_score = can_score;
  script.on_score = [&selections](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    const std::string& text = request.messages[0].content;
    const bool judging = has(text, "\nReply: ");
    selections += !judging;
    Scores scores;
    for (const ScoreQuestion& q : request.questions) {
      const bool kind = has(q.tail, "Be kind"), brief = has(q.tail, "Be brief");
      const double p = !judging ? (kind || brief ? 0.9 : 0.1) : has(text, "odd") ? std::nan("") : kind && has(text, "rude") ? 0.8 : brief && has(text, "long") ? 0.7 : 0.1;
      scores.logprobs.push_back(yes_with(p));
    }
    return scores;
  };
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages[0].content;
    if (!has(text, "violates or")) return std::string("1: yes\n2: no\n3: yes\n4: no");
    return std::string(has(text, "odd") ? "who knows" : has(text, "rude") ? "1: violates\n2: complies" : "1: complies\n2: complies");
  };
  return script;
}

TEST(JudgeReward, IsThePrincipleKeptLeast) {
  int selections = 0;
  ScriptedModel model(script_of(selections));
  const Constitution constitution = small_constitution();
  JudgeReward judge(model, constitution, default_templates());
  const std::vector<RewardInput> answers = {reply("fine"), reply("rude"), reply("long"), reply("rude and long"), reply("odd")};
  const auto values = judge.score(answers);
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_NEAR(*(*values)[0][0].value, 0.9, 1e-6);
  EXPECT_NEAR(*(*values)[1][0].value, 0.2, 1e-6);
  EXPECT_EQ((*values)[1][0].why, "kind");
  EXPECT_NEAR(*(*values)[2][0].value, 0.3, 1e-6);
  EXPECT_NEAR(*(*values)[3][0].value, 0.2, 1e-6);
  EXPECT_FALSE((*values)[4][0].value) << "what cannot be read is no zero";
  ASSERT_TRUE(judge.score(answers));
  EXPECT_EQ(selections, 1) << "which principles apply is asked once a prompt";
}

TEST(JudgeReward, OnlyTheVerdictCountsWhereSaid) {
  int selections = 0;
  ScriptedModel model(script_of(selections));
  const Constitution constitution = small_constitution();
  JudgeReward judge(model, constitution, default_templates(), JudgeWorth::kVerdict);
  const std::vector<RewardInput> answers = {reply("fine"), reply("rude"), reply("long"), reply("odd")};
  const auto values = judge.score(answers);
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(*(*values)[0][0].value, 1);
  EXPECT_EQ(*(*values)[1][0].value, 0);
  EXPECT_EQ((*values)[1][0].why, "kind");
  EXPECT_EQ(*(*values)[2][0].value, 0);
  EXPECT_FALSE((*values)[3][0].value) << "what cannot be read is no zero";
}

TEST(JudgeReward, WithoutLogprobsVerdictsCount) {
  int selections = 0;
  ScriptedModel model(script_of(selections, false));
  const Constitution constitution = small_constitution();
  JudgeReward judge(model, constitution, default_templates());
  const std::vector<RewardInput> answers = {reply("fine"), reply("rude"), reply("odd")};
  const auto values = judge.score(answers);
  ASSERT_TRUE(values) << values.error().message();
  EXPECT_EQ(*(*values)[0][0].value, 1);
  EXPECT_EQ(*(*values)[1][0].value, 0);
  EXPECT_FALSE((*values)[2][0].value);
}

TEST(TextReward, LengthFormAndPhrases) {
  TextReward text({10, "because|since", "idiot"});
  EXPECT_EQ(text.terms(), (std::vector<std::string>{"length", "format", "rule"}));
  const std::vector<RewardInput> answers = {reply("No, BECAUSE it is late.", 8), reply("Since you ask, idiot", 25), reply("yes yes yes yes", 10),
                                            reply("  ", 1), reply("because it", 10, true)};
  const auto values = text.score(answers);
  ASSERT_TRUE(values);
  const auto row = [&](std::size_t i) { return std::vector<double>{*(*values)[i][0].value, *(*values)[i][1].value, *(*values)[i][2].value}; };
  EXPECT_EQ(row(0), (std::vector<double>{0, 1, 1}));
  EXPECT_EQ(row(1), (std::vector<double>{-1.5, 1, 0}));
  EXPECT_EQ(row(2), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(row(3), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(row(4), (std::vector<double>{0, 0, 1}));
}

}  // namespace
}  // namespace precept
