#include "precept/evaluate/compare.h"

#include <algorithm>
#include <utility>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace precept {
namespace {

// An evaluation whose outcomes are given; all else is the same for every one.
Evaluation made(std::vector<Outcome> outcomes,
                const std::vector<std::string>& principles = {"be-kind", "be-honest"}) {
  Evaluation e;
  e.label = "x";
  e.prompts_digest = "p";
  e.scorer = "s";
  e.constitution_digest = "c";
  e.outcomes = std::move(outcomes);
  summarise(e, principles);
  return e;
}

Outcome outcome(int id, bool violates, std::map<std::string, bool> principles = {}) {
  Outcome o;
  o.id = std::to_string(id);
  o.scored = true;
  o.violates = violates;
  o.principles = std::move(principles);
  return o;
}

// Two evaluations with these counts of pairs, for the violation rate.
std::pair<Evaluation, Evaluation> table(int both, int before_only, int after_only, int neither) {
  std::vector<Outcome> before, after;
  const auto add = [&](int times, bool was, bool is) {
    for (int i = 0; i < times; ++i) {
      const int id = static_cast<int>(before.size());
      before.push_back(outcome(id, was));
      after.push_back(outcome(id, is));
    }
  };
  add(both, true, true);
  add(before_only, true, false);
  add(after_only, false, true);
  add(neither, false, false);
  return {made(before), made(after)};
}

TEST(Compare, ExactTestsByHand) {
  struct Case {
    int both, before_only, after_only, neither;
    double p;  // two-sided binomial test of before_only in n discordant pairs: 2 (C(n, 0) + ... + C(n, min))
               // / 2^n
    const char* standing;
  };
  for (const Case& each :
       {Case{2, 6, 0, 1, 2.0 / 64, "better"},                      // 2 * 0.5^6
        Case{2, 5, 0, 1, 2.0 / 32, "no clear difference"},                    // 2 * 0.5^5
        Case{0, 1, 8, 3, 2.0 * (1 + 9) / 512, "worse"},            // 0.0390625
        Case{9, 2, 9, 0, 2.0 * (1 + 11 + 55) / 2048, "no clear difference"},  // 0.0654296875
        Case{103, 5, 23, 69, 0.0009122341871261597, "worse"}, Case{5, 0, 0, 5, 1, "no clear difference"}}) {
    const auto [before, after] = table(each.both, each.before_only, each.after_only, each.neither);
    const PairedRate rate = compare(before, after).violation_rate;
    EXPECT_EQ(rate.counts.both, each.both);
    EXPECT_EQ(rate.counts.before_only, each.before_only);
    EXPECT_EQ(rate.counts.after_only, each.after_only);
    EXPECT_EQ(rate.counts.neither, each.neither);
    ASSERT_TRUE(rate.p);
    EXPECT_NEAR(*rate.p, each.p, 1e-12);
    EXPECT_STREQ(overall_standing(rate), each.standing) << each.before_only << " " << each.after_only;
  }
}

TEST(Compare, MoreHelpIsBetterMoreRefusalIsNot) {
  std::vector<Outcome> before, after;
  for (int i = 0; i < 7; ++i) {
    before.push_back(outcome(i, false));
    after.push_back(outcome(i, false));
    before.back().harmless = after.back().harmless = true;
    before.back().helpful = false;
    after.back().helpful = after.back().refused = true;
  }
  const Comparison c = compare(made(before), made(after));
  EXPECT_STREQ(overall_standing(c.helpfulness), "better");
  EXPECT_STREQ(overall_standing(c.over_refusal), "worse");
  const Comparison back = compare(made(after), made(before));
  EXPECT_STREQ(overall_standing(back.helpfulness), "worse");
  EXPECT_STREQ(overall_standing(back.over_refusal), "better");
}

TEST(Compare, HolmOverThePrinciples) {
  // Discordant pairs 6, 8 and none: p 1/32, 1/128 and 1; Holm: 2/32, 3/128, 1. The fourth never comes up and
  // is not counted.
  std::vector<Outcome> before, after;
  for (int i = 0; i < 10; ++i) {
    before.push_back(outcome(i, true, {{"six", i < 6}, {"eight", i < 8}, {"none", true}}));
    after.push_back(outcome(i, true, {{"six", false}, {"eight", false}, {"none", true}}));
  }
  const std::vector<std::string> ids = {"six", "eight", "none", "never"};
  const Comparison c = compare(made(before, ids), made(after, ids));
  ASSERT_EQ(c.per_principle.size(), 4u);
  EXPECT_NEAR(*c.per_principle[0].p, 1.0 / 32, 1e-12);
  EXPECT_NEAR(*c.per_principle[0].p_holm, 2.0 / 32, 1e-12);
  EXPECT_STREQ(principle_standing(c.per_principle[0]), "no clear difference") << "5% holds for all principles together";
  EXPECT_NEAR(*c.per_principle[1].p_holm, 3.0 / 128, 1e-12);
  EXPECT_STREQ(principle_standing(c.per_principle[1]), "better");
  EXPECT_EQ(*c.per_principle[2].p_holm, 1.0);
  EXPECT_FALSE(c.per_principle[3].p);
  EXPECT_STREQ(principle_standing(c.per_principle[3]), "undefined");
}

TEST(Compare, PairsByIdAndCountsWhoHasNoPartner) {
  auto [before, after] = table(2, 6, 1, 1);
  std::reverse(after.outcomes.begin(), after.outcomes.end());
  after.outcomes.push_back(outcome(99, true));
  Outcome unscored;
  unscored.id = "0";
  before.outcomes[0] = unscored;
  const Comparison c = compare(before, after);
  EXPECT_EQ(c.violation_rate.counts.both, 1);
  EXPECT_EQ(c.violation_rate.counts.before_only, 6);
  EXPECT_EQ(c.violation_rate.counts.after_only, 1);
  EXPECT_EQ(c.violation_rate.difference.unscored, 2) << "prompt 99 and the prompt that was not scored before";
  EXPECT_NEAR(*c.violation_rate.difference.value, -5.0 / 9, 1e-12);
  EXPECT_FALSE(c.helpfulness.p);  // no prompt had a task: undefined, and not counted by Holm
  EXPECT_NEAR(*c.violation_rate.p_holm, *c.violation_rate.p, 1e-12);
}

// A judgment of one answer can name a principle that the prompt did not call for: the other answer then kept
// it.
TEST(Compare, AViolationOfWhatDidNotApplyIsPairedWithKeepingIt) {
  std::vector<Outcome> before, after;
  for (int i = 0; i < 3; ++i) {
    before.push_back(outcome(i, true, {{"be-kind", true}}));
    after.push_back(outcome(i, false));
  }
  after[1].undecided = {"be-kind"};
  after[2].scored = false;
  const PairedRate rate = compare(made(before), made(after)).per_principle[0];
  EXPECT_EQ(rate.counts.before_only, 1);
  EXPECT_EQ(rate.counts.n(), 1);
  EXPECT_EQ(rate.difference.unscored, 2);
  const PairedRate untouched = compare(made(before), made(after)).per_principle[1];
  EXPECT_EQ(untouched.counts.n(), 0) << "neither answer put it into question";
}

TEST(Comparable, SaysWhatDiffers) {
  const auto refused = [](const Evaluation& before, const Evaluation& after) {
    const Status status = comparable(before, "b.json", after, "a.json");
    if (status) return std::string();
    EXPECT_FALSE(status.error().hint.empty());
    return status.error().message();
  };
  const auto [before, after] = table(1, 1, 1, 1);
  EXPECT_EQ(refused(before, after), "");
  Evaluation other = after;
  other.prompts_digest = "q";
  EXPECT_EQ(refused(before, other),
            "b.json: the prompts differ from those of a.json: the same ids with other texts or tags");
  other = after;
  other.outcomes.pop_back();
  other.outcomes[0].id = "new";
  EXPECT_EQ(refused(before, other),
            "b.json: the prompts differ from those of a.json: 4 and 3, 2 ids in common");
  other = after;
  other.scorer = "t";
  EXPECT_EQ(refused(before, other), "b.json: the scorer differs from that of a.json: s and t");
  other = after;
  other.constitution_digest = "d";
  EXPECT_EQ(refused(before, other), "b.json: the constitution differs from that of a.json: c and d");
  for (const auto text :
       {&Evaluation::prompts_digest, &Evaluation::scorer, &Evaluation::constitution_digest}) {
    other = after;
    (other.*text).clear();
    EXPECT_EQ(refused(before, other),
              "a.json: this evaluation does not tell its prompts, scorer and constitution");
  }
}

TEST(Comparable, OtherSettingsAreNamed) {
  const auto [before, after] = table(1, 1, 1, 1);
  EXPECT_TRUE(differing_settings(before, after).empty());
  Evaluation other = after;
  other.temperature = 0.5;
  other.seed = 3;
  EXPECT_EQ(differing_settings(before, other),
            (std::vector<std::string>{"seed: 0 before, 3 after", "temperature: 1 before, 0.5 after"}));
}

TEST(ComparisonJson, HoldsCountsTestsAndStandings) {
  const auto [before, after] = table(2, 6, 0, 1);
  const auto json = nlohmann::json::parse(comparison_json(before, "b.json", after, "a.json"));
  EXPECT_EQ(json["before"]["evaluation"], "b.json");
  EXPECT_EQ(json["prompts"], 9);
  EXPECT_EQ(json["violation_rate"]["before_only"], 6);
  EXPECT_DOUBLE_EQ(json["violation_rate"]["p"], 2.0 / 64);
  EXPECT_EQ(json["violation_rate"]["standing"], "better");
  EXPECT_EQ(json["helpfulness"]["standing"], "undefined");
  EXPECT_TRUE(json["per_principle"].contains("be-kind"));
}

}  // namespace
}  // namespace precept
