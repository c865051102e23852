#include "precept/core/estimate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/special_functions/beta.hpp>

#include "precept/core/result.h"

namespace precept {
namespace {

double share(std::int64_t k, std::int64_t n) { return static_cast<double>(k) / static_cast<double>(n); }

// Clopper-Pearson limits with `tail` probability beyond each (1 <= k <= n, or 0 <= k < n).
double beta_lower(std::int64_t k, std::int64_t n, double tail) {
  return boost::math::ibeta_inv(static_cast<double>(k), static_cast<double>(n - k + 1), tail);
}
double beta_upper(std::int64_t k, std::int64_t n, double tail) {
  return boost::math::ibetac_inv(static_cast<double>(k + 1), static_cast<double>(n - k), tail);
}

struct Limits {
  double low, high;
};

// Wilson's score interval (Wilson 1927), as Newcombe's method wants it.
Limits wilson(std::int64_t k, std::int64_t n, double z) {
  const double p = share(k, n);
  const double m = static_cast<double>(n);
  const double centre = p + z * z / (2 * m);
  const double spread = z * std::sqrt(p * (1 - p) / m + z * z / (4 * m * m));
  return {(centre - spread) / (1 + z * z / m), (centre + spread) / (1 + z * z / m)};
}

std::string format(const char* pattern, int digits, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, digits, value);
  return text;
}

std::string counts_text(const Estimate& e) {
  std::string out = ", n = " + std::to_string(e.n);
  if (e.unscored > 0) out += ", " + std::to_string(e.unscored) + " unscored";
  return out;
}

}  // namespace

std::optional<double> upper_bound(std::int64_t k, std::int64_t n, double level) {
  PRECEPT_CHECK(0 <= k && k <= n && level > 0 && level < 1);
  if (n == 0) return std::nullopt;
  return k == n ? 1.0 : beta_upper(k, n, 1 - level);
}

std::optional<double> lower_bound(std::int64_t k, std::int64_t n, double level) {
  PRECEPT_CHECK(0 <= k && k <= n && level > 0 && level < 1);
  if (n == 0) return std::nullopt;
  return k == 0 ? 0.0 : beta_lower(k, n, 1 - level);
}

Estimate proportion(std::int64_t k, std::int64_t n, std::int64_t unscored, double level) {
  PRECEPT_CHECK(0 <= k && k <= n && level > 0 && level < 1);
  Estimate e;
  e.n = n;
  e.unscored = unscored;
  e.level = level;
  if (n == 0) return e;
  e.value = share(k, n);
  e.one_sided = k == 0 || k == n;
  if (e.one_sided) {
    e.low = lower_bound(k, n, level);
    e.high = upper_bound(k, n, level);
  } else {
    e.low = beta_lower(k, n, (1 - level) / 2);
    e.high = beta_upper(k, n, (1 - level) / 2);
  }
  return e;
}

Estimate clustered_proportion(const std::vector<Cluster>& clusters, std::int64_t unscored, double level) {
  PRECEPT_CHECK(level > 0 && level < 1);
  std::int64_t yes = 0, n = 0, groups = 0;
  for (const Cluster& c : clusters) {
    PRECEPT_CHECK(0 <= c.yes && c.yes <= c.n);
    yes += c.yes;
    n += c.n;
    groups += c.n > 0;
  }
  if (yes == 0 || yes == n) {
    Estimate e = proportion(yes == 0 ? 0 : groups, groups, unscored, level);
    e.n = n;
    return e;
  }
  Estimate e;
  e.n = n;
  e.unscored = unscored;
  e.level = level;
  const double p = share(yes, n), all = static_cast<double>(n), g = static_cast<double>(groups);
  e.value = p;
  if (groups < 2) return e;
  double squares = 0;
  for (const Cluster& c : clusters) {
    const double off = static_cast<double>(c.yes) - p * static_cast<double>(c.n);
    squares += off * off;
  }
  const double variance = g / (g - 1) * squares / (all * all), tail = (1 - level) / 2;
  const auto t = [tail](double freedom) { return boost::math::quantile(boost::math::students_t(freedom), 1 - tail); };
  const double corrected = p * (1 - p) / variance * std::pow(t(all - 1) / t(g - 1), 2);
  const double effective = std::min(all, corrected), x = p * effective;
  e.low = boost::math::ibeta_inv(x, effective - x + 1, tail);
  e.high = boost::math::ibetac_inv(x + 1, effective - x, tail);
  return e;
}

Estimate mean(const std::vector<double>& values, std::int64_t unscored, double level) {
  Estimate e;
  e.n = static_cast<std::int64_t>(values.size());
  e.unscored = unscored;
  e.level = level;
  if (values.empty()) return e;
  const double n = static_cast<double>(values.size());
  const double m = std::accumulate(values.begin(), values.end(), 0.0) / n;
  e.value = m;
  if (values.size() < 2) return e;
  double squares = 0;
  for (const double v : values) squares += (v - m) * (v - m);
  const double error = std::sqrt(squares / (n - 1) / n);
  const double t = boost::math::quantile(boost::math::students_t(n - 1), 1 - (1 - level) / 2);
  e.low = m - t * error;
  e.high = m + t * error;
  return e;
}

std::optional<double> mcnemar_p(const PairedCounts& c) {
  if (c.n() == 0) return std::nullopt;
  const std::int64_t discordant = c.before_only + c.after_only;
  if (discordant == 0) return 1.0;
  const boost::math::binomial half(static_cast<double>(discordant), 0.5);
  const double tail = boost::math::cdf(half, static_cast<double>(std::min(c.before_only, c.after_only)));
  return std::min(1.0, 2 * tail);
}

std::optional<double> sign_flip_p(const std::vector<std::int64_t>& differences) {
  if (differences.empty()) return std::nullopt;
  std::int64_t sum = 0, most = 0;
  for (const std::int64_t d : differences) {
    sum += d;
    most += std::abs(d);
  }
  if (most == 0) return 1.0;
  // chance[k]: that the sum of the differences so far is 2 k - (the greatest that it can be).
  std::vector<double> chance(static_cast<std::size_t>(most) + 1, 0.0);
  chance[0] = 1;
  std::int64_t reach = 0;
  for (const std::int64_t d : differences) {
    const std::int64_t size = std::abs(d);
    if (size == 0) continue;
    for (std::int64_t k = reach; k >= 0; --k) {
      const double half = chance[static_cast<std::size_t>(k)] / 2;
      chance[static_cast<std::size_t>(k)] = half;
      chance[static_cast<std::size_t>(k + size)] += half;
    }
    reach += size;
  }
  double tail = 0;
  const std::int64_t far = std::abs(sum);
  for (std::int64_t k = 0; 2 * k - most <= -far; ++k) tail += chance[static_cast<std::size_t>(k)];
  return std::min(1.0, 2 * tail);
}

Estimate paired_difference(const PairedCounts& c, std::int64_t unscored, double level) {
  Estimate e;
  e.n = c.n();
  e.unscored = unscored;
  e.level = level;
  if (e.n == 0) return e;
  const double a = static_cast<double>(c.both), b = static_cast<double>(c.before_only);
  const double d = static_cast<double>(c.after_only), f = static_cast<double>(c.neither);
  const double n = static_cast<double>(e.n);
  const double before = (a + b) / n, after = (a + d) / n;
  const double z = boost::math::quantile(boost::math::normal(), 1 - (1 - level) / 2);
  const Limits one = wilson(c.both + c.before_only, e.n, z);
  const Limits two = wilson(c.both + c.after_only, e.n, z);
  const double margins = (a + b) * (d + f) * (a + d) * (b + f);
  double phi = 0;
  if (margins > 0) {
    double cross = a * f - b * d;
    if (cross > 0) cross = std::max(cross - n / 2, 0.0);
    phi = cross / std::sqrt(margins);
  }
  const auto spread = [phi](double x, double y) {
    return std::sqrt(std::max(0.0, x * x - 2 * phi * x * y + y * y));
  };
  const double value = after - before;
  e.value = value;
  e.low = std::max(-1.0, value - spread(after - two.low, one.high - before));
  e.high = std::min(1.0, value + spread(two.high - after, before - one.low));
  return e;
}

std::vector<std::optional<double>> holm(const std::vector<std::optional<double>>& p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i]) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&p](std::size_t x, std::size_t y) { return *p[x] < *p[y]; });
  std::vector<std::optional<double>> adjusted(p.size());
  double running = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const double scaled = *p[order[rank]] * static_cast<double>(order.size() - rank);
    running = std::max(running, std::min(1.0, scaled));
    adjusted[order[rank]] = running;
  }
  return adjusted;
}

Confusion confusion(const std::vector<Prediction>& predictions) {
  Confusion c;
  for (const Prediction& p : predictions) {
    const bool yes = p.probability >= 0.5;
    ++(yes ? (p.truth ? c.true_positive : c.false_positive)
           : (p.truth ? c.false_negative : c.true_negative));
  }
  return c;
}

Estimate accuracy(const Confusion& c, std::int64_t unscored) {
  const std::int64_t right = c.true_positive + c.true_negative;
  return proportion(right, right + c.false_positive + c.false_negative, unscored);
}
Estimate precision(const Confusion& c, std::int64_t unscored) {
  return proportion(c.true_positive, c.true_positive + c.false_positive, unscored);
}
Estimate recall(const Confusion& c, std::int64_t unscored) {
  return proportion(c.true_positive, c.true_positive + c.false_negative, unscored);
}
Estimate false_positive_rate(const Confusion& c, std::int64_t unscored) {
  return proportion(c.false_positive, c.false_positive + c.true_negative, unscored);
}

std::vector<ReliabilityBin> reliability(const std::vector<Prediction>& predictions, int bins) {
  PRECEPT_CHECK(bins > 0);
  std::vector<ReliabilityBin> out(static_cast<std::size_t>(bins));
  for (int i = 0; i < bins; ++i) {
    out[static_cast<std::size_t>(i)].low = static_cast<double>(i) / bins;
    out[static_cast<std::size_t>(i)].high = static_cast<double>(i + 1) / bins;
  }
  for (const Prediction& p : predictions) {
    PRECEPT_CHECK(p.probability >= 0 && p.probability <= 1);
    const auto i = std::min(static_cast<std::size_t>(p.probability * bins), out.size() - 1);
    ++out[i].n;
    out[i].positive += p.truth ? 1 : 0;
    out[i].mean_probability += p.probability;
  }
  for (ReliabilityBin& bin : out) {
    if (bin.n > 0) bin.mean_probability /= static_cast<double>(bin.n);
  }
  return out;
}

std::optional<double> calibration_error(const std::vector<Prediction>& predictions, int bins) {
  if (predictions.empty()) return std::nullopt;
  double sum = 0;
  for (const ReliabilityBin& bin : reliability(predictions, bins)) {
    if (bin.n == 0) continue;
    sum += static_cast<double>(bin.n) * std::abs(share(bin.positive, bin.n) - bin.mean_probability);
  }
  return sum / static_cast<double>(predictions.size());
}

std::optional<double> brier(const std::vector<Prediction>& predictions) {
  if (predictions.empty()) return std::nullopt;
  double sum = 0;
  for (const Prediction& p : predictions) {
    const double miss = p.probability - (p.truth ? 1.0 : 0.0);
    sum += miss * miss;
  }
  return sum / static_cast<double>(predictions.size());
}

std::optional<double> auroc(const std::vector<Prediction>& predictions) {
  // Mann-Whitney U from mid-ranks: one pass over groups of tied probabilities.
  std::vector<Prediction> sorted = predictions;
  std::sort(sorted.begin(), sorted.end(),
            [](const Prediction& x, const Prediction& y) { return x.probability < y.probability; });
  double wins = 0, negatives = 0, positives = 0;
  for (std::size_t i = 0; i < sorted.size();) {
    std::size_t j = i;
    double tied_positives = 0, tied_negatives = 0;
    for (; j < sorted.size() && sorted[j].probability == sorted[i].probability; ++j) {
      (sorted[j].truth ? tied_positives : tied_negatives) += 1;
    }
    wins += tied_positives * (negatives + tied_negatives / 2);
    positives += tied_positives;
    negatives += tied_negatives;
    i = j;
  }
  if (positives == 0 || negatives == 0) return std::nullopt;
  return wins / (positives * negatives);
}

std::string percent_digits(double p, int digits) {
  if (p == 0) return "0";
  if (p == 1) return "100";
  // Never round what is not 0 to 0, nor what is not 1 to 100.
  const double edge = std::min(std::abs(p), p > 0 ? std::abs(1 - p) : 1.0) * 100;
  while (digits < 8 && edge < 0.5 * std::pow(10.0, -digits)) ++digits;
  return format("%.*f", digits, p * 100);
}

std::string percent(std::optional<double> p) {
  return p ? percent_digits(*p, 1) + "%" : std::string("undefined");
}

std::string percent_text(const Estimate& e) {
  if (!e.value) return "undefined" + counts_text(e);
  std::string out = percent(e.value);
  if (e.one_sided && *e.value == 0 && e.high) {
    out += " (at most " + percent_digits(*e.high, 2) + "%)";
  } else if (e.one_sided && *e.value == 1 && e.low) {
    out += " (at least " + percent_digits(*e.low, 2) + "%)";
  } else if (e.low && e.high) {
    out += " [" + percent_digits(*e.low, 1) + ", " + percent_digits(*e.high, 1) + "]";
  }
  return out + counts_text(e);
}

std::string number_text(const Estimate& e, int digits) {
  if (!e.value) return "undefined" + counts_text(e);
  std::string out = format("%.*f", digits, *e.value);
  if (e.low && e.high) {
    out += " [" + format("%.*f", digits, *e.low) + ", " + format("%.*f", digits, *e.high) + "]";
  }
  return out + counts_text(e);
}

}  // namespace precept
