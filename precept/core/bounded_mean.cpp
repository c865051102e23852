#include "precept/core/bounded_mean.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "precept/core/result.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

constexpr double kLargestBet = 0.75;  // c of the paper: a bet risks at most so much of the capital

// What can be staked at each step: decided by the values before it.
std::vector<double> stakes(const std::vector<double>& values, double alpha) {
  std::vector<double> bets;
  double sum = 0, squares = 0;
  for (std::size_t t = 0; t < values.size(); ++t) {
    const double n = static_cast<double>(t) + 1;
    const double variance = (0.25 + squares) / n;
    bets.push_back(std::sqrt(2 * std::log(2 / alpha) / (variance * static_cast<double>(values.size()))));
    sum += values[t];
    const double mean = (0.5 + sum) / (n + 1);
    squares += (values[t] - mean) * (values[t] - mean);
  }
  return bets;
}

// Does betting that the mean is above `mean` multiply the stake by 2/alpha? Where `mean` is true the game is fair, so that
// this happens with probability alpha/2 at most (Markov's inequality). Monotone in `mean`.
bool refuted_from_above(const std::vector<double>& values, const std::vector<double>& bets, double mean, double alpha) {
  const double goal = std::log(2 / alpha);
  double capital = 0;
  for (std::size_t t = 0; t < values.size(); ++t) {
    capital += std::log1p(std::min(bets[t], kLargestBet / mean) * (values[t] - mean));
  }
  return capital >= goal;
}

// The largest mean that is refuted by larger values.
double lower_end(const std::vector<double>& values, double alpha) {
  const std::vector<double> bets = stakes(values, alpha);
  double refuted = 0, open = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (refuted + open) / 2;
    (refuted_from_above(values, bets, middle, alpha) ? refuted : open) = middle;
  }
  return refuted;
}

}  // namespace

Estimate bounded_mean(const std::vector<double>& values, std::int64_t unscored, double low, double high, double level) {
  PRECEPT_CHECK(low < high && level > 0 && level < 1);
  Estimate estimate;
  estimate.n = static_cast<std::int64_t>(values.size());
  estimate.unscored = unscored;
  estimate.level = level;
  if (values.empty()) return estimate;
  std::vector<double> scaled;
  double sum = 0;
  for (const double value : values) {
    PRECEPT_CHECK(value >= low && value <= high);
    sum += value;
    scaled.push_back((value - low) / (high - low));
  }
  Rng rng({.seed = 0x6d65616e});
  for (std::size_t i = scaled.size(); i > 1; --i) std::swap(scaled[i - 1], scaled[rng.below(i)]);
  const double alpha = 1 - level;
  const double bottom = lower_end(scaled, alpha);
  for (double& value : scaled) value = 1 - value;
  const double top = 1 - lower_end(scaled, alpha);
  const double mean = sum / static_cast<double>(values.size());
  estimate.value = mean;
  estimate.low = std::min(mean, low + bottom * (high - low));  // widening breaks no promise
  estimate.high = std::max(mean, low + top * (high - low));
  return estimate;
}

}  // namespace precept
