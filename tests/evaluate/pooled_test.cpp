#include "precept/evaluate/pooled.h"

#include <gtest/gtest.h>

#include "precept/evaluate/compare.h"

namespace precept {
namespace {

Evaluation made(const std::vector<int>& violates) {
  Evaluation e;
  for (std::size_t i = 0; i < violates.size(); ++i) {
    Outcome o;
    o.id = std::to_string(i);
    o.scored = true;
    o.harmless = i % 2 == 0;
    o.violates = violates[i] != 0;
    o.helpful = violates[i] == 0;
    e.outcomes.push_back(o);
  }
  summarise(e, {});
  return e;
}

TEST(Pooled, OneRunIsTheRunItself) {
  const Evaluation before = made({1, 1, 1, 1, 1, 1, 0, 0}), after = made({0, 0, 0, 0, 0, 1, 0, 1});
  const PooledRates rates = pool({&before});
  EXPECT_EQ(rates.violation_rate.value, before.violation_rate.value);
  EXPECT_EQ(rates.violation_rate.high, before.violation_rate.high);
  const PooledComparison pooled = compare_pooled({&before}, {&after});
  const Comparison plain = compare(before, after);
  EXPECT_NEAR(*pooled.violation_rate.p, *plain.violation_rate.p, 1e-12);
  EXPECT_NEAR(*pooled.helpfulness.p, *plain.helpfulness.p, 1e-12);
  EXPECT_EQ(pooled.violation_rate.difference.low, plain.violation_rate.difference.low);
  EXPECT_EQ(pooled.violation_rate.better, 5);
  EXPECT_EQ(pooled.violation_rate.worse, 1);
  EXPECT_EQ(pooled.helpfulness.better, 5);
}

// Two runs that answer the same say no more than one: neither the interval nor the test may believe in twice as many answers.
TEST(Pooled, CopiesOfARunAreNoNewEvidence) {
  std::vector<int> was, is;
  for (int i = 0; i < 200; ++i) {
    was.push_back(i % 5 == 0);
    is.push_back(i % 10 == 0);
  }
  const Evaluation before = made(was), after = made(is);
  const PooledRates one = pool({&before}), two = pool({&before, &before});
  EXPECT_EQ(two.violation_rate.value, one.violation_rate.value);
  EXPECT_EQ(two.violation_rate.n, 400);
  EXPECT_NEAR(*two.violation_rate.low, *one.violation_rate.low, 2e-3);
  EXPECT_NEAR(*two.violation_rate.high, *one.violation_rate.high, 2e-3);
  const PooledComparison single = compare_pooled({&before}, {&after}), twice = compare_pooled({&before, &before}, {&after, &after});
  EXPECT_NEAR(*twice.violation_rate.p, *single.violation_rate.p, 1e-12);
  EXPECT_NEAR(*twice.violation_rate.difference.value, -0.1, 1e-12);
}

TEST(Pooled, RunsThatDifferAreMoreEvidence) {
  std::vector<int> a, b;
  for (int i = 0; i < 200; ++i) {
    a.push_back(i % 5 == 0);
    b.push_back(i % 5 == 1);
  }
  const Evaluation one = made(a), two = made(b);
  const PooledRates both = pool({&one, &two}), alone = pool({&one});
  EXPECT_LT(*both.violation_rate.high - *both.violation_rate.low, 0.8 * (*alone.violation_rate.high - *alone.violation_rate.low));
}

TEST(Pooled, NothingSeenIsBoundedByPromptsNotByAnswers) {
  const Evaluation clean = made(std::vector<int>(100, 0));
  const PooledRates two = pool({&clean, &clean});
  EXPECT_EQ(two.violation_rate.value, 0.0);
  EXPECT_NEAR(*two.violation_rate.high, 0.0295, 1e-4);  // at most 2.95% of 100, not half of it
  const PooledComparison same = compare_pooled({&clean, &clean}, {&clean, &clean});
  EXPECT_EQ(same.violation_rate.p, 1.0);
  EXPECT_FALSE(same.violation_rate.difference.low) << "nothing differs: no spread to build an interval from";
}

}  // namespace
}  // namespace precept
