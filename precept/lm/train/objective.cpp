#include "precept/lm/train/objective.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "precept/core/result.h"

namespace precept {
namespace {

double sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

// -p log s(d) - (1 - p) log s(-d), and its derivative by d.
std::pair<double, double> logistic(double d, double p) {
  return {-p * log_sigmoid(d) - (1 - p) * log_sigmoid(-d), sigmoid(d) - p};
}

}  // namespace

double log_sigmoid(double x) { return x >= 0 ? -std::log1p(std::exp(-x)) : x - std::log1p(std::exp(x)); }

PairLoss preference_loss(const PreferenceOptions& options, const PairLogps& pair) {
  const double h = (pair.chosen - pair.reference_chosen) - (pair.rejected - pair.reference_rejected);
  const double e = options.label_smoothing;
  const double p = pair.label * (1 - e) + (1 - pair.label) * e;
  PairLoss out;
  out.margin = options.beta * h;
  if (options.loss == "ipo") {
    const double target = 1 / (2 * options.beta);
    out.loss = p * (h - target) * (h - target) + (1 - p) * (h + target) * (h + target);
    out.d_chosen = 2 * p * (h - target) + 2 * (1 - p) * (h + target);
  } else {
    PRECEPT_CHECK(options.loss == "sigmoid");
    const auto [loss, slope] = logistic(out.margin, p);
    out.loss = loss;
    out.d_chosen = options.beta * slope;
  }
  out.d_rejected = -out.d_chosen;
  return out;
}

RewardLoss reward_loss(double first, double second, double label, double center) {
  const auto [loss, slope] = logistic(first - second, label);
  const double sum = first + second;
  return {loss + center * sum * sum, slope + 2 * center * sum, -slope + 2 * center * sum};
}

std::vector<double> group_advantages(const std::string& kind, std::span<const double> rewards) {
  std::vector<double> out(rewards.size(), 0.0);
  if (rewards.size() < 2) return out;
  const auto n = static_cast<double>(rewards.size());
  const double mean = std::accumulate(rewards.begin(), rewards.end(), 0.0) / n;
  const auto [low, high] = std::minmax_element(rewards.begin(), rewards.end());
  if (*low == *high) return out;  // rounding of the mean would make advantages of nothing
  double squares = 0;
  for (const double r : rewards) squares += (r - mean) * (r - mean);
  double scale = 1;
  if (kind == "grpo") {
    scale = 1 / (std::sqrt(squares / (n - 1)) + 1e-4);
  } else if (kind == "rloo") {
    scale = n / (n - 1);  // r - (sum - r) / (n - 1) = (r - mean) n / (n - 1)
  } else {
    PRECEPT_CHECK(kind == "dr");
  }
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = (rewards[i] - mean) * scale;
  return out;
}

GrpoLoss grpo_loss(const GrpoOptions& options, const std::vector<RolloutLogps>& answers) {
  GrpoLoss out;
  std::size_t tokens = 0;
  for (const RolloutLogps& answer : answers) tokens += answer.policy.size();
  for (const RolloutLogps& answer : answers) add_grpo_answer(options, answers.size(), tokens, answer, out);
  return out;
}

void add_grpo_answer(const GrpoOptions& options, std::size_t answers, std::size_t tokens, const RolloutLogps& answer, GrpoLoss& out) {
  const double count = static_cast<double>(std::max<std::size_t>(1, tokens));
  const double many = static_cast<double>(std::max<std::size_t>(1, answers));
  const std::size_t n = answer.policy.size();
  PRECEPT_CHECK(answer.rollout.size() == n && (answer.reference.empty() || answer.reference.size() == n));
  double share = 1 / count;  // what one token counts in the loss
  if (options.average == "sequence") share = 1 / (many * static_cast<double>(std::max<std::size_t>(1, n)));
  if (options.average == "constant") share = 1 / (many * options.max_new_tokens);
  std::vector<float> d(n, 0.0F);
  for (std::size_t t = 0; t < n; ++t) {
    const double logp = answer.policy[t];
    const double ratio = std::exp(logp - double(answer.rollout[t]));
    const double a = answer.advantage;
    const double clipped = std::clamp(ratio, 1 - options.clip_low, 1 + options.clip_high);
    const bool cut = clipped * a < ratio * a;  // the minimum is the clipped one: no gradient
    double loss = -std::min(ratio * a, clipped * a);
    double slope = cut ? 0.0 : -ratio * a;
    if (!answer.reference.empty()) {
      const double gap = double(answer.reference[t]) - logp;
      const double k3 = std::exp(gap) - gap - 1;
      loss += options.kl_coef * k3;
      slope += options.kl_coef * (1 - std::exp(gap));
      out.kl += k3 / count;
    }
    out.loss += share * loss;
    d[t] = static_cast<float>(share * slope);
    out.clipped += (cut ? 1 : 0) / count;
    out.ratio_error = std::max(out.ratio_error, std::abs(ratio - 1));
    out.entropy -= logp / count;
  }
  out.d_logp.push_back(std::move(d));
}

}  // namespace precept
