// pass@k and pass^k against published and hand-worked values; their intervals against what they promise.

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "precept/core/bounded_mean.h"
#include "precept/core/rng.h"
#include "precept/feedback/code/pass_k.h"

namespace precept {
namespace {

TEST(PassAtK, PublishedValues) {
  EXPECT_NEAR(*pass_at_k(10, 3, 5), 0.9167, 5e-5);
  EXPECT_NEAR(*pass_at_k(200, 20, 10), 0.6602, 5e-5);
}

// All subsets, counted.
TEST(PassAtK, IsWhatCountingSubsetsGives) {
  for (int n = 1; n <= 9; ++n) {
    for (int c = 0; c <= n; ++c) {
      for (int k = 1; k <= n; ++k) {
        int subsets = 0, some = 0, all = 0;
        for (int set = 0; set < 1 << n; ++set) {
          if (__builtin_popcount(static_cast<unsigned>(set)) != k) continue;
          const int passed = __builtin_popcount(static_cast<unsigned>(set & ((1 << c) - 1)));
          ++subsets;
          some += passed > 0;
          all += passed == k;
        }
        EXPECT_NEAR(*pass_at_k(n, c, k), static_cast<double>(some) / subsets, 1e-12) << n << " " << c << " " << k;
        EXPECT_NEAR(*pass_hat_k(n, c, k), static_cast<double>(all) / subsets, 1e-12) << n << " " << c << " " << k;
      }
    }
  }
}

TEST(PassAtK, MoreThanThereAreSamplesIsUndefined) {
  EXPECT_FALSE(pass_at_k(3, 1, 4));
  EXPECT_FALSE(pass_hat_k(3, 1, 4));
  EXPECT_FALSE(pass_at_k(3, 1, 0));
  EXPECT_FALSE(pass_at_k(0, 0, 1));
}

TEST(PassAtK, OneSampleATaskIsAProportion) {
  std::vector<TaskTally> tasks(100, {1, 0});
  for (int i = 0; i < 30; ++i) tasks[static_cast<std::size_t>(i)].passed = 1;
  const Estimate e = mean_pass_at_k(tasks, 1), exact = proportion(30, 100);
  EXPECT_EQ(e.value, exact.value);
  EXPECT_EQ(e.low, exact.low);
  EXPECT_EQ(e.high, exact.high);
}

// Ten samples of each of 20 tasks are no 200 independent trials: where tasks are all-or-nothing, the interval must be about
// as wide as that of 20.
TEST(PassAtK, SamplesOfOneTaskAreNoIndependentTrials) {
  std::vector<TaskTally> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back({10, i < 10 ? 10 : 0});
  const Estimate e = mean_pass_at_k(tasks, 1), naive = proportion(100, 200), honest = proportion(10, 20);
  EXPECT_EQ(*e.value, 0.5);
  EXPECT_EQ(e.n, 20);
  EXPECT_GT(*e.high - *e.low, 2 * (*naive.high - *naive.low));
  EXPECT_GT(*e.high - *e.low, 0.95 * (*honest.high - *honest.low));
}

TEST(PassAtK, TasksWithTooFewSamplesAreUnscored) {
  const Estimate e = mean_pass_at_k({{5, 5}, {2, 2}, {5, 0}}, 3);
  EXPECT_EQ(e.n, 2);
  EXPECT_EQ(e.unscored, 1);
  EXPECT_EQ(*e.value, 0.5);
  EXPECT_FALSE(mean_pass_at_k({{1, 1}}, 2).value);
}

TEST(PassDifference, PairsTasks) {
  const Estimate e = pass_difference({{2, 0}, {2, 1}, {0, 0}, {2, 2}}, {{2, 2}, {2, 1}, {2, 2}, {2, 1}});
  EXPECT_EQ(e.n, 3);
  EXPECT_EQ(e.unscored, 1);
  EXPECT_NEAR(*e.value, (1.0 + 0 - 0.5) / 3, 1e-12);
  EXPECT_LT(*e.low, *e.value);
  EXPECT_GT(*e.high, *e.value);
  const Estimate single = pass_difference({{1, 0}, {1, 0}, {1, 1}}, {{1, 1}, {1, 0}, {1, 1}});
  EXPECT_NEAR(*single.value, 1.0 / 3, 1e-12);
}

// --- the interval of a bounded mean ---

// Against a second implementation of the paper's formulas (a few lines of Python, values equal so that their order does not
// matter).
TEST(BoundedMean, KnownValues) {
  const Estimate ones = bounded_mean(std::vector<double>(5, 1.0)), halves = bounded_mean(std::vector<double>(12, 0.5));
  EXPECT_NEAR(*ones.low, 0.4073255368450206, 1e-9);
  EXPECT_NEAR(*ones.high, 1, 1e-9);
  EXPECT_NEAR(*halves.low, 0.334883701645622, 1e-9);
  EXPECT_NEAR(*halves.high, 0.665116298354378, 1e-9);
  const Estimate one = bounded_mean({1});
  EXPECT_EQ(*one.value, 1);
  EXPECT_EQ(*one.low, 0) << "one value says nothing at 95%";
  EXPECT_FALSE(bounded_mean({}).value);
}

TEST(BoundedMean, ScalesWithItsBounds) {
  const std::vector<double> values = {0.1, 0.4, 0.9, 0.3, 0.3, 1.0, 0.0, 0.6};
  std::vector<double> moved;
  for (const double v : values) moved.push_back(2 * v - 1);
  const Estimate e = bounded_mean(values), m = bounded_mean(moved, 0, -1, 1);
  EXPECT_NEAR(*m.low, 2 * *e.low - 1, 1e-12);
  EXPECT_NEAR(*m.high, 2 * *e.high - 1, 1e-12);
}

// None of 164 tasks solved is not "exactly none".
TEST(BoundedMean, NothingIsNeverCertain) {
  const Estimate none = bounded_mean(std::vector<double>(164, 0.0)), all = bounded_mean(std::vector<double>(164, 1.0));
  EXPECT_EQ(*none.low, 0);
  EXPECT_GT(*none.high, *proportion(0, 164).high);
  EXPECT_LT(*none.high, 0.05);
  EXPECT_NEAR(*all.low, 1 - *none.high, 1e-9);
}

// Coverage is promised for every distribution: some hard ones, 1,000 trials each. Missing more than 5% + 3 standard errors
// of them would be a broken promise. A Student interval breaks it on the second of them.
TEST(BoundedMean, CoversAtLeastAsOftenAsItSays) {
  struct Kind {
    const char* name;
    double mean;
    double (*draw)(Rng&);
  };
  const Kind kinds[] = {
      {"uniform", 0.5, [](Rng& r) { return r.uniform(); }},
      {"rarely solved", 0.02, [](Rng& r) { return r.chance(0.02) ? 1.0 : 0.0; }},
      {"all or nothing", 0.5, [](Rng& r) { return r.chance(0.5) ? 1.0 : 0.0; }},
      {"mostly nearly solved", 0.9, [](Rng& r) { return r.chance(0.1) ? 0.0 : 1.0; }},
      {"narrow", 0.7, [](Rng& r) { return 0.65 + 0.1 * r.uniform(); }},
  };
  for (const Kind& kind : kinds) {
    for (const int n : {5, 40, 164}) {
      int missed = 0;
      double width = 0;
      for (int trial = 0; trial < 1000; ++trial) {
        Rng rng({.seed = 77, .item = static_cast<std::uint64_t>(trial), .step = static_cast<std::uint32_t>(n)});
        std::vector<double> values;
        for (int i = 0; i < n; ++i) values.push_back(kind.draw(rng));
        const Estimate e = bounded_mean(values);
        missed += *e.low > kind.mean || *e.high < kind.mean;
        width += (*e.high - *e.low) / 1000;
        ASSERT_LE(*e.low, *e.value + 1e-9);
        ASSERT_GE(*e.high, *e.value - 1e-9);
      }
      EXPECT_LE(missed, 50 + 21) << kind.name << " n " << n;
      if (n == 164) {
        EXPECT_LT(width, 0.22) << kind.name << ": and says something";
      }
    }
  }
}

}  // namespace
}  // namespace precept
