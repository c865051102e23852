// The guards' judgment on readings made by hand: each limit alone, patience, and words that name what happened.
#include <gtest/gtest.h>

#include <algorithm>

#include "precept/lm/train/guards.h"

namespace precept {
namespace {

Reading healthy(std::int64_t step = 0) {
  Reading r;
  r.step = step;
  r.entropy = 0.5;
  r.distinct = 0.4;
  r.repeated_endings = 0.3;
  r.length = 20;
  r.kl = 0.05;
  r.unparseable = 0.0;
  r.reward = 1.0;
  r.truth = 0.9;
  r.truth_n = 400;
  return r;
}

std::string of(const std::function<void(Reading&)>& change, GuardOptions options = {}) {
  Reading now = healthy(10);
  change(now);
  return broken_limits(options, {healthy(), now});
}

TEST(Guards, HealthyReadingsBreakNothing) {
  EXPECT_EQ(of([](Reading&) {}), "");
  EXPECT_EQ(of([](Reading& r) { r = Reading(); }), "") << "what is not measured is no sign of anything";
}

TEST(Guards, EachLimitHasItsSentence) {
  const std::vector<std::pair<std::function<void(Reading&)>, const char*>> cases = {
      {[](Reading& r) { r.entropy = 0.1; }, "entropy fell from 0.5 to 0.1"},
      {[](Reading& r) { r.distinct = 0.1; }, "distinct pairs of tokens fell"},
      {[](Reading& r) { r.repeated_endings = 0.9; }, "answers that end alike rose from 30% to 90%"},
      {[](Reading& r) { r.length = 5; }, "mean length of answers fell"},
      {[](Reading& r) { r.length = 80; }, "mean length of answers grew from 20.0 to 80.0"},
      {[](Reading& r) { r.kl = 9; }, "9 nats a token away from its reference"},
      {[](Reading& r) { r.unparseable = 0.5; }, "50% of the judgments could not be read"},
      {[](Reading& r) { r.truth = 0.5, r.reward = 2; }, "rose from 1 to 2 while the held-out truth fell from 90.0% (step 0) to 50.0%"},
  };
  for (const auto& [change, words] : cases) EXPECT_NE(of(change).find(words), std::string::npos) << of(change) << " lacks " << words;
}

TEST(Guards, ALimitOfZeroIsNone) {
  GuardOptions off;
  off.min_entropy_share = off.min_distinct_share = off.max_repeated_endings = off.min_length_share = off.max_length_share = 0;
  off.max_kl = off.max_unparseable = off.max_truth_fall = 0;
  EXPECT_EQ(of([](Reading& r) { r.entropy = 0, r.distinct = 0, r.repeated_endings = 1, r.length = 500, r.kl = 99, r.unparseable = 1, r.truth = 0; }, off), "");
}

TEST(Guards, TruthMayFallWithTheRewardAndWithinItsNoise) {
  EXPECT_EQ(of([](Reading& r) { r.truth = 0.5, r.reward = 0.5; }), "") << "a policy that gets worse at everything games nothing";
  EXPECT_EQ(of([](Reading& r) { r.truth = 0.86, r.reward = 2; }), "") << "4 points of 400 are noise";
  Reading few = healthy(10);
  few.truth = 0.7;
  few.truth_n = 10;
  few.reward = 2;
  EXPECT_EQ(broken_limits({}, {healthy(), few}), "") << "and 20 points of 10 as well";
}

TEST(Guards, TruthIsComparedWithItsBest) {
  Reading best = healthy(10), now = healthy(20);
  best.truth = 0.99;
  now.truth = 0.85;
  now.reward = 1.5;
  EXPECT_NE(broken_limits({}, {healthy(), best, now}).find("99.0% (step 10)"), std::string::npos);
}

TEST(Guards, OnlyAsManyInARowAsPatienceSaysHalt) {
  Reading bad = healthy(10);
  bad.entropy = 0.01;
  EXPECT_EQ(halting_reason({}, {healthy(), bad}), "");
  EXPECT_NE(halting_reason({}, {healthy(), bad, bad}), "");
  EXPECT_EQ(halting_reason({}, {healthy(), bad, healthy(20), bad}), "");
  GuardOptions hasty;
  hasty.patience = 1;
  EXPECT_NE(halting_reason(hasty, {healthy(), bad}), "");
}

// Three answers: tokens 1 2 3 4 5 6; 1 2 3 4 5 6; 9.
TEST(Guards, MeasuresAnswers) {
  Reading r;
  measure_answers({{{1, 2, 3, 4, 5, 6}, {-1, -1, -1, -1, -1, -1, -1}}, {{1, 2, 3, 4, 5, 6}, {-2, -2, -2, -2, -2, -2, -2}}, {{9}, {-3, -3}}}, r);
  EXPECT_NEAR(*r.entropy, (7 + 14 + 6) / 16.0, 1e-12);
  EXPECT_NEAR(*r.distinct, 5 / 10.0, 1e-12);
  EXPECT_NEAR(*r.repeated_endings, 2 / 3.0, 1e-12);
  EXPECT_NEAR(*r.length, 13 / 3.0, 1e-12);
}

}  // namespace
}  // namespace precept
