// Go on, stop or roll back, on comparisons made by hand.
#include <gtest/gtest.h>

#include "precept/evaluate/round_decision.h"

namespace precept {
namespace {

PairedRate rate(const char* id, std::int64_t before_only, std::int64_t after_only, bool more_is_better) {
  PairedRate r;
  r.id = id;
  r.more_is_better = more_is_better;
  r.counts = {5, before_only, after_only, 400};
  r.difference = paired_difference(r.counts);
  r.p = mcnemar_p(r.counts);
  return r;
}

Comparison comparison(std::int64_t mended, std::int64_t broken) {
  Comparison c;
  c.violation_rate = rate("violation_rate", mended, broken, false);
  c.helpfulness = rate("helpfulness", 3, 3, true);
  c.over_refusal = rate("over_refusal", 0, 0, false);
  return c;
}

TEST(RoundDecision, FewerViolationsGoOn) {
  std::string why;
  EXPECT_EQ(decide(panel_rates(comparison(20, 2)), {}, "", why), RoundDecision::kGoOn);
  EXPECT_NE(why.find("violations fell from 5.9% to 1.6% (2 answers for the worse, 20 for the better"), std::string::npos) << why;
}

TEST(RoundDecision, NoFewerStop) {
  std::string why;
  EXPECT_EQ(decide(panel_rates(comparison(2, 2)), {}, "", why), RoundDecision::kStop);
  EXPECT_EQ(decide(panel_rates(comparison(2, 4)), {}, "", why), RoundDecision::kStop) << "2 more of 400 are noise, but no progress";
}

TEST(RoundDecision, WhatGetsWorseIsRolledBack) {
  std::string why;
  EXPECT_EQ(decide(panel_rates(comparison(2, 30)), {}, "", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("violations rose from"), std::string::npos) << why;
  Comparison unhelpful = comparison(20, 2);
  unhelpful.helpfulness = rate("helpfulness", 40, 1, true);
  EXPECT_EQ(decide(panel_rates(unhelpful), {}, "", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("helpfulness fell from"), std::string::npos) << why;
  Comparison refusing = comparison(20, 2);
  refusing.over_refusal = rate("over_refusal", 0, 25, false);
  EXPECT_EQ(decide(panel_rates(refusing), {}, "", why), RoundDecision::kRollBack);
}

// Of three rates one looks worse by chance more often than one of one does.
TEST(RoundDecision, ThreeRatesAtOnceAreCorrectedFor) {
  std::string why;
  Comparison c = comparison(20, 2);
  c.helpfulness = rate("helpfulness", 10, 2, true);  // p = 0.039
  EXPECT_EQ(decide(panel_rates(c), {}, "", why), RoundDecision::kGoOn) << why;
  EXPECT_EQ(decide({c.helpfulness}, {}, "", why), RoundDecision::kRollBack) << why;
}

// Each round loses a little, which no test of one round sees; all together it is seen.
TEST(RoundDecision, SmallLossesAddUp) {
  std::string why;
  Comparison since_start = comparison(30, 2);
  since_start.helpfulness = rate("helpfulness", 30, 6, true);
  EXPECT_EQ(decide(panel_rates(comparison(20, 2)), panel_rates(since_start), "", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("since the first round began, helpfulness fell from"), std::string::npos) << why;
  EXPECT_EQ(decide(panel_rates(comparison(20, 2)), panel_rates(comparison(30, 2)), "", why), RoundDecision::kGoOn);
}

TEST(RoundDecision, EveryReasonIsTold) {
  std::string why;
  Comparison both = comparison(2, 30);
  both.helpfulness = rate("helpfulness", 40, 1, true);
  EXPECT_EQ(decide(panel_rates(both), {}, "step 30: entropy fell", why), RoundDecision::kRollBack);
  for (const char* part : {"violations rose", "30 answers for the worse, 2 for the better", "helpfulness fell", "40 answers for the worse", "a guard stopped"}) {
    EXPECT_NE(why.find(part), std::string::npos) << part << " in " << why;
  }
}

TEST(RoundDecision, WithoutAMeasurementThereIsNoNextRound) {
  std::string why;
  EXPECT_EQ(decide(panel_rates(Comparison{}), {}, "", why), RoundDecision::kStop);
  EXPECT_NE(why.find("could not be measured"), std::string::npos) << why;
}

TEST(RoundDecision, WhatAGuardStoppedIsRolledBack) {
  std::string why;
  EXPECT_EQ(decide(panel_rates(comparison(20, 2)), {}, "step 30: entropy fell", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("entropy fell"), std::string::npos);
}

}  // namespace
}  // namespace precept
