// A mix of rewards: terms stay apart, an unscored term leaves the total undefined, nothing is counted twice.
#include <gtest/gtest.h>

#include <limits>

#include "precept/feedback/reward_source.h"

namespace precept {
namespace {

// Says of each answer what a function says of its text.
class Fixed : public RewardSource {
 public:
  Fixed(std::vector<std::string> names, std::vector<std::optional<double>> values) : names_(std::move(names)), values_(std::move(values)) {}
  const std::vector<std::string>& terms() const override { return names_; }
  Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) override {
    std::vector<RewardValue> row;
    for (const auto& value : values_) row.push_back({value, "so"});
    return std::vector<std::vector<RewardValue>>(answers.size(), row);
  }

 private:
  std::vector<std::string> names_;
  std::vector<std::optional<double>> values_;
};

RewardInput answer() { return {"p", {{"user", "hi"}}, "hello", 1, false, 0}; }

TEST(RewardMix, TotalsAreWeightedSumsAndTermsStayApart) {
  const auto mix = RewardMix::make({{std::make_shared<Fixed>(std::vector<std::string>{"a", "b"}, std::vector<std::optional<double>>{2.0, 3.0}), {1.0, -0.5}},
                                    {std::make_shared<Fixed>(std::vector<std::string>{"c"}, std::vector<std::optional<double>>{10.0}), {0.25}}});
  ASSERT_TRUE(mix) << mix.error().message();
  EXPECT_EQ(mix->terms(), (std::vector<std::string>{"a", "b", "c"}));
  const RewardInput one = answer();
  const auto rewards = mix->score({&one, 1});
  ASSERT_TRUE(rewards);
  ASSERT_EQ(rewards->size(), 1U);
  EXPECT_DOUBLE_EQ(*(*rewards)[0].total, 2.0 - 1.5 + 2.5);
  EXPECT_DOUBLE_EQ(*(*rewards)[0].values[1].value, 3.0);
}

TEST(RewardMix, AnUnscoredTermIsNoZero) {
  const auto mix = RewardMix::make({{std::make_shared<Fixed>(std::vector<std::string>{"a", "b"}, std::vector<std::optional<double>>{2.0, std::nullopt}), {1.0, 1.0}}});
  ASSERT_TRUE(mix);
  const RewardInput one = answer();
  EXPECT_FALSE((*mix->score({&one, 1}))[0].total.has_value());
  // ... unless it does not count.
  const auto watched = RewardMix::make({{std::make_shared<Fixed>(std::vector<std::string>{"a", "b"}, std::vector<std::optional<double>>{2.0, std::nullopt}), {1.0, 0.0}}});
  EXPECT_DOUBLE_EQ(*(*watched->score({&one, 1}))[0].total, 2.0);
  const auto infinite = RewardMix::make({{std::make_shared<Fixed>(std::vector<std::string>{"a"}, std::vector<std::optional<double>>{std::numeric_limits<double>::infinity()}), {1.0}}});
  EXPECT_FALSE((*infinite->score({&one, 1}))[0].total.has_value());
}

TEST(RewardMix, RefusesWhatDoesNotFit) {
  const auto source = [](std::vector<std::string> names) { return std::make_shared<Fixed>(names, std::vector<std::optional<double>>(names.size(), 1.0)); };
  EXPECT_FALSE(RewardMix::make({}));
  EXPECT_FALSE(RewardMix::make({{source({"a"}), {1.0, 2.0}}}));
  EXPECT_FALSE(RewardMix::make({{source({"a"}), {1.0}}, {source({"a"}), {1.0}}}));
  EXPECT_FALSE(RewardMix::make({{source({"a"}), {std::numeric_limits<double>::quiet_NaN()}}}));
}

// Small terms do not tell answers apart that the large one finds alike.
TEST(LevelRewards, AnswersThatHardlyDifferAreWorthTheSame) {
  const auto answers = [](const std::vector<const char*>& ids) {
    std::vector<RewardInput> out;
    for (const char* id : ids) out.push_back({id, {}, "", 0, false, 0});
    return out;
  };
  const auto of = [](const std::vector<std::optional<double>>& totals) {
    std::vector<Reward> out;
    for (const auto& total : totals) out.push_back({total, {}});
    return out;
  };
  // Prompt a: alike but for 0.1, one unscored; b: one is worse by 1; c: alone.
  auto rewards = of({1.1, std::nullopt, 1.0, 1.1, 0.1, 1.0, 0.3});
  level_rewards(answers({"a", "a", "a", "b", "b", "b", "c"}), 0.5, rewards);
  EXPECT_DOUBLE_EQ(rewards[0].total.value(), 1.05);
  EXPECT_FALSE(rewards[1].total) << "unscored stays unscored";
  EXPECT_EQ(rewards[0].total, rewards[2].total);
  EXPECT_EQ(rewards[3].total, 1.1);
  EXPECT_EQ(rewards[4].total, 0.1);
  EXPECT_EQ(rewards[6].total, 0.3);
  auto as_before = of({1.1, 1.0});
  level_rewards(answers({"a", "a"}), 0, as_before);
  EXPECT_EQ(as_before[0].total, 1.1);
}

}  // namespace
}  // namespace precept
