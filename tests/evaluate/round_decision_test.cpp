// Go on, stop or roll back, on comparisons made by hand.
#include <gtest/gtest.h>

#include "precept/evaluate/round_decision.h"

namespace precept {
namespace {

PairedRate rate(std::int64_t before_only, std::int64_t after_only, bool more_is_better) {
  PairedRate r;
  r.more_is_better = more_is_better;
  r.counts = {5, before_only, after_only, 400};
  r.difference = paired_difference(r.counts);
  r.p = mcnemar_p(r.counts);
  return r;
}

Comparison comparison(std::int64_t mended, std::int64_t broken) {
  Comparison c;
  c.violation_rate = rate(mended, broken, false);
  c.helpfulness = rate(3, 3, true);
  c.over_refusal = rate(0, 0, false);
  return c;
}

TEST(RoundDecision, FewerViolationsGoOn) {
  std::string why;
  EXPECT_EQ(decide(comparison(20, 2), "", why), RoundDecision::kGoOn);
  EXPECT_NE(why.find("violations fell by 4.2 points"), std::string::npos) << why;
}

TEST(RoundDecision, NoFewerStop) {
  std::string why;
  EXPECT_EQ(decide(comparison(2, 2), "", why), RoundDecision::kStop);
  EXPECT_EQ(decide(comparison(2, 4), "", why), RoundDecision::kStop) << "2 more of 400 are noise, but no progress";
}

TEST(RoundDecision, WhatGetsWorseIsRolledBack) {
  std::string why;
  EXPECT_EQ(decide(comparison(2, 30), "", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("violations got worse by"), std::string::npos) << why;
  Comparison unhelpful = comparison(20, 2);
  unhelpful.helpfulness = rate(40, 1, true);
  EXPECT_EQ(decide(unhelpful, "", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("helpfulness got worse"), std::string::npos) << why;
  Comparison refusing = comparison(20, 2);
  refusing.over_refusal = rate(0, 25, false);
  EXPECT_EQ(decide(refusing, "", why), RoundDecision::kRollBack);
}

TEST(RoundDecision, WhatAGuardStoppedIsRolledBack) {
  std::string why;
  EXPECT_EQ(decide(comparison(20, 2), "step 30: entropy fell", why), RoundDecision::kRollBack);
  EXPECT_NE(why.find("entropy fell"), std::string::npos);
}

}  // namespace
}  // namespace precept
