#include "precept/core/estimate.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace precept {
namespace {

// Binomial tails summed term by term: nothing shared with the library's incomplete beta function.
double pmf(std::int64_t k, std::int64_t n, double p) {
  if (p <= 0) return k == 0 ? 1 : 0;
  if (p >= 1) return k == n ? 1 : 0;
  const auto lg = [](std::int64_t x) { return std::lgamma(static_cast<double>(x) + 1); };
  return std::exp(lg(n) - lg(k) - lg(n - k) + static_cast<double>(k) * std::log(p) +
                  static_cast<double>(n - k) * std::log1p(-p));
}
double at_most(std::int64_t k, std::int64_t n, double p) {
  double sum = 0;
  for (std::int64_t i = 0; i <= k; ++i) sum += pmf(i, n, p);
  return sum;
}

TEST(Proportion, PublishedClopperPearsonIntervals) {
  const Estimate ten = proportion(10, 100);
  EXPECT_NEAR(*ten.low, 0.0490047, 1e-6);
  EXPECT_NEAR(*ten.high, 0.1762226, 1e-6);
  const Estimate one = proportion(1, 10);
  EXPECT_NEAR(*one.low, 0.0025286, 1e-6);
  EXPECT_NEAR(*one.high, 0.4450161, 1e-6);
  const Estimate half = proportion(5, 10);
  EXPECT_NEAR(*half.low, 0.1870860, 1e-6);
  EXPECT_NEAR(*half.high, 0.8129140, 1e-6);
}

TEST(Proportion, LimitsSolveTheirDefinition) {
  for (const std::int64_t n : {2, 7, 50, 400}) {
    for (const std::int64_t k : {std::int64_t{1}, n / 2, n - 1}) {
      const Estimate e = proportion(k, n, 0, 0.9);
      EXPECT_NEAR(1 - at_most(k - 1, n, *e.low), 0.05, 1e-9) << k << "/" << n;
      EXPECT_NEAR(at_most(k, n, *e.high), 0.05, 1e-9) << k << "/" << n;
      EXPECT_FALSE(e.one_sided);
    }
  }
}

TEST(Proportion, NothingSeenIsAtMostAndNeverZero) {
  const Estimate clean = proportion(0, 100);
  EXPECT_EQ(*clean.value, 0);
  EXPECT_EQ(*clean.low, 0);
  EXPECT_NEAR(*clean.high, 0.029513, 1e-6);  // 1 - 0.05^(1/100)
  EXPECT_TRUE(clean.one_sided);
  const Estimate all = proportion(100, 100);
  EXPECT_NEAR(*all.low, 1 - 0.029513, 1e-6);
  EXPECT_EQ(*all.high, 1);
}

TEST(Proportion, MirrorsItself) {
  for (std::int64_t k = 0; k <= 30; ++k) {
    EXPECT_NEAR(*proportion(k, 30).low, 1 - *proportion(30 - k, 30).high, 1e-12);
  }
}

TEST(Proportion, CoversAsMuchAsTheHeaderSays) {
  for (const std::int64_t n : {5, 20, 100}) {
    for (double p = 0.005; p < 1; p += 0.005) {
      double covered = 0;
      for (std::int64_t k = 0; k <= n; ++k) {
        const Estimate e = proportion(k, n);
        if (*e.low <= p && p <= *e.high) covered += pmf(k, n, p);
      }
      EXPECT_GE(covered, 1 - 1.5 * 0.05) << "n " << n << " p " << p;
      if (p > 0.4 && p < 0.6 && n > 5) {
        EXPECT_GE(covered, 0.95) << "n " << n << " p " << p;
      }
    }
  }
}

TEST(Proportion, OfNothingIsUndefined) {
  const Estimate e = proportion(0, 0, 12);
  EXPECT_FALSE(e.value || e.low || e.high);
  EXPECT_EQ(e.unscored, 12);
  EXPECT_FALSE(upper_bound(0, 0));
}

TEST(Bounds, OnePercentNeedsTwoHundredNinetyNineCleanTrials) {
  EXPECT_LT(*upper_bound(0, 299), 0.01);
  EXPECT_GE(*upper_bound(0, 298), 0.01);
  EXPECT_NEAR(at_most(3, 80, *upper_bound(3, 80)), 0.05, 1e-9);
  EXPECT_EQ(*upper_bound(4, 4), 1);
  EXPECT_EQ(*lower_bound(0, 4), 0);
}

TEST(Mean, HasStudentsInterval) {
  // Values 1..5: mean 3, standard error sqrt(2.5/5), t(4, 97.5%) = 2.776445.
  const Estimate e = mean({1, 2, 3, 4, 5}, 2);
  EXPECT_DOUBLE_EQ(*e.value, 3);
  EXPECT_NEAR(*e.low, 3 - 2.776445 * std::sqrt(0.5), 1e-5);
  EXPECT_NEAR(*e.high, 3 + 2.776445 * std::sqrt(0.5), 1e-5);
  EXPECT_EQ(e.unscored, 2);
}

TEST(Mean, OfOneValueHasNoIntervalAndOfNoneNoValue) {
  const Estimate one = mean({7});
  EXPECT_EQ(*one.value, 7);
  EXPECT_FALSE(one.low || one.high);
  EXPECT_FALSE(mean({}).value);
}

// Fifty sputum specimens on two media (Armitage and Berry 1994): 20, 12, 2, 16.
TEST(Paired, PublishedExample) {
  const PairedCounts counts{20, 2, 12, 16};
  EXPECT_NEAR(*mcnemar_p(counts), 0.0129, 5e-5);
  const Estimate d = paired_difference(counts);
  EXPECT_DOUBLE_EQ(*d.value, 0.2);
  // By hand from the quadratic form of Wilson's interval.
  EXPECT_NEAR(*d.low, 0.0562, 5e-5);
  EXPECT_NEAR(*d.high, 0.3292, 5e-5);
}

TEST(Paired, McNemarByHand) {
  EXPECT_DOUBLE_EQ(*mcnemar_p({3, 5, 0, 9}), 2.0 / 32);       // 2 * 0.5^5
  EXPECT_DOUBLE_EQ(*mcnemar_p({0, 1, 4, 0}), 2 * 6.0 / 32);   // 2 * (1 + 5) / 2^5
  EXPECT_DOUBLE_EQ(*mcnemar_p({0, 4, 4, 0}), 1.0);            // doubling would exceed 1
  EXPECT_EQ(*mcnemar_p({4, 0, 0, 4}), 1.0);
  EXPECT_FALSE(mcnemar_p({}));
  EXPECT_EQ(*mcnemar_p({1, 2, 7, 1}), *mcnemar_p({1, 7, 2, 1}));
}

TEST(Paired, DifferenceTurnsRoundWithItsSides) {
  const Estimate there = paired_difference({10, 7, 3, 30});
  const Estimate back = paired_difference({10, 3, 7, 30});
  EXPECT_NEAR(*there.value, -*back.value, 1e-15);
  EXPECT_NEAR(*there.low, -*back.high, 1e-12);
  EXPECT_NEAR(*there.high, -*back.low, 1e-12);
  EXPECT_FALSE(paired_difference({}).value);
  const Estimate still = paired_difference({0, 0, 0, 50});
  EXPECT_LT(*still.low, 0);
  EXPECT_GT(*still.high, 0);
}

TEST(Paired, SignsFlippedByHand) {
  // 2, 1, -1: sums 4, 2 (twice), 0 (twice)... of 8 choices; at least 2 from 0: 4, 2, 2, -2, -2, -4.
  EXPECT_NEAR(*sign_flip_p({2, 1, -1}), 6.0 / 8, 1e-15);
  EXPECT_NEAR(*sign_flip_p({2, 2, 2}), 2.0 / 8, 1e-15);
  EXPECT_NEAR(*sign_flip_p({-3, 0, 0, -1}), 2.0 / 4, 1e-15);
  EXPECT_EQ(sign_flip_p({0, 0}), 1.0);
  EXPECT_EQ(sign_flip_p({1, -1}), 1.0);
  EXPECT_FALSE(sign_flip_p({}));
}

TEST(Paired, SignsFlippedOfSinglesIsMcNemar) {
  for (const auto& [better, worse] : {std::pair(5, 1), {12, 3}, {0, 7}, {400, 310}}) {
    std::vector<std::int64_t> differences(static_cast<std::size_t>(better), 1);
    differences.insert(differences.end(), static_cast<std::size_t>(worse), -1);
    differences.insert(differences.begin() + 1, 20, 0);
    const PairedCounts counts{4, worse, better, 16};
    EXPECT_NEAR(*sign_flip_p(differences) / *mcnemar_p(counts), 1, 1e-9) << better << " " << worse;
  }
  // Far below what doubles hold apart from 1: the tail is summed, not subtracted.
  EXPECT_LT(*sign_flip_p(std::vector<std::int64_t>(900, 1)), 1e-250);
  EXPECT_GT(*sign_flip_p(std::vector<std::int64_t>(900, 1)), 0);
}

TEST(Clustered, SinglesAreAProportion) {
  std::vector<Cluster> clusters;
  for (int i = 0; i < 500; ++i) clusters.push_back({i < 40, 1});
  const Estimate e = clustered_proportion(clusters, 3), plain = proportion(40, 500, 3);
  EXPECT_EQ(e.value, plain.value);
  EXPECT_EQ(e.unscored, 3);
  EXPECT_NEAR(*e.low, *plain.low, 1e-4);  // but for (g - 1) / g
  EXPECT_NEAR(*e.high, *plain.high, 1e-4);
}

// Answers within a cluster that always agree count once; such that know nothing of each other count each.
TEST(Clustered, TakesAgreementIntoAccount) {
  std::vector<Cluster> agree, apart;
  for (int i = 0; i < 300; ++i) {
    agree.push_back({i < 60 ? 4 : 0, 4});
    apart.push_back({i % 5 == 0 ? 0 : 1, 4});
  }
  const Estimate a = clustered_proportion(agree), b = clustered_proportion(apart);
  const Estimate once = proportion(60, 300), each = proportion(240, 1200);
  EXPECT_EQ(a.value, b.value);
  EXPECT_EQ(a.n, 1200);
  EXPECT_NEAR(*a.high - *a.low, *once.high - *once.low, 2e-3);
  EXPECT_NEAR(*b.high - *b.low, *each.high - *each.low, 2e-3);
}

TEST(Clustered, EdgesAreDefined) {
  EXPECT_FALSE(clustered_proportion({}).value);
  const Estimate none = clustered_proportion({{0, 2}, {0, 2}, {0, 0}});
  EXPECT_EQ(none.value, 0.0);
  EXPECT_EQ(none.n, 4);
  EXPECT_EQ(*none.high, *proportion(0, 2).high);
  const Estimate all = clustered_proportion({{2, 2}, {3, 3}});
  EXPECT_EQ(all.value, 1.0);
  EXPECT_EQ(*all.low, *proportion(2, 2).low);
  const Estimate single = clustered_proportion({{1, 3}});
  EXPECT_TRUE(single.value);
  EXPECT_FALSE(single.low);
}

TEST(Holm, ByHand) {
  const auto adjusted = holm({0.01, 0.04, std::nullopt, 0.03, 0.005});
  EXPECT_NEAR(*adjusted[4], 0.02, 1e-15);
  EXPECT_NEAR(*adjusted[0], 0.03, 1e-15);
  EXPECT_NEAR(*adjusted[3], 0.06, 1e-15);
  EXPECT_NEAR(*adjusted[1], 0.06, 1e-15);  // 0.04 * 1 is below its predecessor: monotone
  EXPECT_FALSE(adjusted[2]);
  EXPECT_EQ(*holm({0.9, 0.8})[1], 1.0);
}

TEST(Classifier, ConfusionAndItsRates) {
  const Confusion c = confusion({{0.9, true}, {0.5, false}, {0.4, true}, {0.1, false}, {0.2, false}});
  EXPECT_EQ(c.true_positive, 1);
  EXPECT_EQ(c.false_positive, 1);  // 0.5 is yes
  EXPECT_EQ(c.false_negative, 1);
  EXPECT_EQ(c.true_negative, 2);
  EXPECT_DOUBLE_EQ(*accuracy(c).value, 0.6);
  EXPECT_DOUBLE_EQ(*precision(c).value, 0.5);
  EXPECT_DOUBLE_EQ(*recall(c).value, 0.5);
  EXPECT_DOUBLE_EQ(*false_positive_rate(c).value, 1.0 / 3);
  EXPECT_FALSE(recall(Confusion{0, 1, 1, 0}).value);
}

TEST(Classifier, CalibrationByHand) {
  // Bin [0.8, 0.9): three at 0.8, two right: |2/3 - 0.8|. Bin [0.2, 0.3): one at 0.25, wrong: 0.25.
  const std::vector<Prediction> p = {{0.8, true}, {0.8, true}, {0.8, false}, {0.25, false}};
  EXPECT_NEAR(*calibration_error(p), 0.75 * (0.8 - 2.0 / 3) + 0.25 * 0.25, 1e-12);
  EXPECT_NEAR(*brier(p), (0.04 + 0.04 + 0.64 + 0.0625) / 4, 1e-12);
  EXPECT_NEAR(*calibration_error({{1.0, true}, {0.0, false}}), 0, 1e-15);
  EXPECT_NEAR(*calibration_error({{1.0, false}, {0.0, true}}), 1, 1e-15);
  EXPECT_FALSE(calibration_error({}) || brier({}));
}

TEST(Classifier, AurocByPairs) {
  const std::vector<Prediction> p = {{0.1, false}, {0.4, true}, {0.4, false}, {0.35, false},
                                     {0.8, true},  {0.4, true}, {0.9, false}};
  double wins = 0, pairs = 0;
  for (const auto& yes : p) {
    for (const auto& no : p) {
      if (!yes.truth || no.truth) continue;
      pairs += 1;
      wins += yes.probability > no.probability ? 1 : yes.probability == no.probability ? 0.5 : 0;
    }
  }
  EXPECT_DOUBLE_EQ(*auroc(p), wins / pairs);
  EXPECT_EQ(*auroc({{0.1, false}, {0.2, true}}), 1);
  EXPECT_FALSE(auroc({{0.1, true}}));
}

TEST(Text, ReadsAsInTheReport) {
  EXPECT_EQ(percent_text(proportion(41, 1000, 3)), "4.1% [3.0, 5.5], n = 1000, 3 unscored");
  EXPECT_EQ(percent_text(proportion(0, 100)), "0% (at most 2.95%), n = 100");
  EXPECT_EQ(percent_text(proportion(100, 100)), "100% (at least 97.05%), n = 100");
  EXPECT_EQ(percent_text(Estimate{}), "undefined, n = 0");
  EXPECT_EQ(number_text(mean({7}), 1), "7.0, n = 1");
}

TEST(Text, NeverRoundsToNothingOrEverything) {
  EXPECT_EQ(percent(0.0003), "0.03%");
  EXPECT_EQ(percent(0.99997), "99.997%");
  EXPECT_EQ(percent(-0.041), "-4.1%");
  EXPECT_EQ(percent(std::nullopt), "undefined");
}

}  // namespace
}  // namespace precept
