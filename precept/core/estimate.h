#pragma once
// Numbers that say how far to trust them: every estimate carries its interval and its n, and what is
// undefined stays undefined. All intervals and tests here are exact unless they say otherwise.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace precept {

struct Estimate {
  std::optional<double> value, low, high;  // undefined: nothing could be computed, never 0
  std::int64_t n = 0;                      // scored
  std::int64_t unscored = 0;               // could not be scored; in no way part of value
  double level = 0.95;                     // confidence of [low, high]
  bool one_sided = false;                  // all of 1 - level lies on one side (see proportion)
};

// A share of k in n with its Clopper-Pearson interval (Clopper & Pearson 1934, Biometrika 26:404).
// For 0 < k < n the interval is two-sided. For k = 0 it is [0, u] and for k = n it is [l, 1], where u and
// l are *one-sided* bounds at `level`, because nothing can lie beyond 0 or 1: 0 of 100 is "at most 2.95%
// (95%)". (Read as one procedure for every k, coverage is then at least 1 - 1.5 (1 - level), and the
// one-sided statement itself holds exactly.) n = 0: undefined. Needs 0 <= k <= n.
Estimate proportion(std::int64_t k, std::int64_t n, std::int64_t unscored = 0, double level = 0.95);

// One-sided Clopper-Pearson bounds at `level`; undefined for n = 0.
std::optional<double> upper_bound(std::int64_t k, std::int64_t n, double level = 0.95);
std::optional<double> lower_bound(std::int64_t k, std::int64_t n, double level = 0.95);

// Answers to one question that go together: `yes` of `n` (answers to one prompt by models of several seeds, say).
struct Cluster {
  std::int64_t yes = 0, n = 0;
};
// The share of yes over all, where answers within a cluster may depend on each other: Clopper-Pearson limits at the effective number
// of answers, p (1 - p) / v with v the variance of the share between clusters, corrected for its degrees of freedom (Korn & Graubard
// 1998, Survey Methodology 24:193), and never more than all answers. Where all or none are yes v says nothing: the number of clusters is
// taken. Clusters of one answer each: proportion(), but for that correction; a single cluster has no interval. Clusters with n = 0
// do not count. Estimate::n counts answers.
Estimate clustered_proportion(const std::vector<Cluster>& clusters, std::int64_t unscored = 0, double level = 0.95);

// The mean with Student's t interval; the interval is undefined for n < 2 (the value is not, for n = 1).
Estimate mean(const std::vector<double>& values, std::int64_t unscored = 0, double level = 0.95);

// The same yes/no question asked of the same items before and after.
struct PairedCounts {
  std::int64_t both = 0, before_only = 0, after_only = 0, neither = 0;
  std::int64_t n() const { return both + before_only + after_only + neither; }
};

// Exact McNemar test (McNemar 1947; binomial on the discordant pairs, two-sided by doubling, no mid-p).
// 1 when no pair is discordant; undefined without pairs.
std::optional<double> mcnemar_p(const PairedCounts& counts);

// Differences of which each may as well have had the other sign: the probability of a sum at least as far from 0 (two-sided by doubling),
// over all choices of signs, exactly (Fisher 1935, The Design of Experiments, section 21). With differences of -1, 0 and 1 it is
// mcnemar_p. 1 when all are 0; undefined without any.
std::optional<double> sign_flip_p(const std::vector<std::int64_t>& differences);

// after - before, with Newcombe's interval for paired data, not exact (Newcombe 1998, Statistics in Medicine
// 17:2635, method 10: Wilson limits, correlation with continuity correction).
Estimate paired_difference(const PairedCounts& counts, std::int64_t unscored = 0, double level = 0.95);

// Holm's step-down adjustment (Holm 1979, Scandinavian J. of Statistics 6:65): adjusted p-values in the order
// given. Undefined ones stay undefined and are not counted.
std::vector<std::optional<double>> holm(const std::vector<std::optional<double>>& p);

// A probability of "yes" that is no clear answer: strictly between these two.
inline constexpr double kUncertainLow = 0.1, kUncertainHigh = 0.9;
inline bool is_uncertain(double probability) { return probability > kUncertainLow && probability < kUncertainHigh; }

// One decision of a classifier: the probability it gave to "yes", and whether yes was right.
struct Prediction {
  double probability = 0;  // [0, 1]; yes when >= 0.5
  bool truth = false;
};

struct Confusion {
  std::int64_t true_positive = 0, false_positive = 0, true_negative = 0, false_negative = 0;
};
Confusion confusion(const std::vector<Prediction>& predictions);
Estimate accuracy(const Confusion& c, std::int64_t unscored = 0);
Estimate precision(const Confusion& c, std::int64_t unscored = 0);         // of those called yes
Estimate recall(const Confusion& c, std::int64_t unscored = 0);            // of those that are yes
Estimate false_positive_rate(const Confusion& c, std::int64_t unscored = 0);  // of those that are no

// One bin of a reliability diagram over the probability of "yes".
struct ReliabilityBin {
  double low = 0, high = 0;              // [low, high), the last one closed
  std::int64_t n = 0, positive = 0;
  double mean_probability = 0;           // meaningless when n = 0
};
std::vector<ReliabilityBin> reliability(const std::vector<Prediction>& predictions, int bins = 10);

// Expected calibration error over equal-width bins (Naeini et al. 2015, for the probability of "yes").
std::optional<double> calibration_error(const std::vector<Prediction>& predictions, int bins = 10);
// Mean squared error of the probability (Brier 1950, in its two-class form: 0 best, 1 worst).
std::optional<double> brier(const std::vector<Prediction>& predictions);
// Area under the ROC curve = P(yes scores above no) + P(tie)/2; undefined when a class is missing.
std::optional<double> auroc(const std::vector<Prediction>& predictions);

// 100 p without the sign of percent, `digits` after the point; more where what is not 0 or 1 would look like it.
std::string percent_digits(double p, int digits);
// "4.1%"; digits adapt so that small shares stay readable ("0.03%"); "undefined" when it is.
std::string percent(std::optional<double> share);
// "4.1% [2.9, 5.6], n = 1000, 3 unscored", "0% (at most 2.95%), n = 100", "undefined, n = 0".
std::string percent_text(const Estimate& e);
// The same for numbers that are not shares: "12.3 [11.8, 12.8], n = 50".
std::string number_text(const Estimate& e, int digits = 1);

}  // namespace precept
