#include <algorithm>
#include <cmath>
#include <set>

#include "precept/core/quote.h"
#include "precept/feedback/reward_source.h"

namespace precept {

Result<RewardMix> RewardMix::make(std::vector<WeightedReward> sources) {
  RewardMix mix;
  std::set<std::string> seen;
  for (const WeightedReward& each : sources) {
    const auto& names = each.source->terms();
    if (each.weights.size() != names.size()) {
      return bad_input("a reward of " + std::to_string(names.size()) + " terms is given " + std::to_string(each.weights.size()) + " weights");
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!seen.insert(names[i]).second) return bad_input("the reward " + in_quotes(names[i]) + " is given twice");
      if (!std::isfinite(each.weights[i])) return bad_input("the weight of the reward " + in_quotes(names[i]) + " is not finite");
      mix.terms_.push_back(names[i]);
      mix.weights_.push_back(each.weights[i]);
    }
  }
  if (mix.terms_.empty()) return bad_input("there is nothing to reward", "name at least one reward");
  mix.sources_ = std::move(sources);
  return mix;
}

Result<std::vector<Reward>> RewardMix::score(std::span<const RewardInput> answers) const {
  std::vector<Reward> rewards(answers.size());
  for (Reward& reward : rewards) reward.total = 0;
  for (const WeightedReward& each : sources_) {
    auto values = each.source->score(answers);
    if (!values) return tl::unexpected<Error>(values.error());
    PRECEPT_CHECK(values->size() == answers.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      PRECEPT_CHECK((*values)[i].size() == each.weights.size());
      for (std::size_t t = 0; t < each.weights.size(); ++t) {
        RewardValue& value = (*values)[i][t];
        if (value.value && !std::isfinite(*value.value)) value.value.reset();
        std::optional<double>& total = rewards[i].total;
        if (each.weights[t] != 0 && !value.value) total.reset();
        if (total && value.value) *total += each.weights[t] * *value.value;
        rewards[i].values.push_back(std::move(value));
      }
    }
  }
  return rewards;
}

void level_rewards(std::span<const RewardInput> answers, double spread, std::vector<Reward>& rewards) {
  for (std::size_t begin = 0, end = 0; begin < answers.size(); begin = end) {
    double low = 0, high = 0, sum = 0;
    int n = 0;
    for (end = begin; end < answers.size() && answers[end].id == answers[begin].id; ++end) {
      if (!rewards[end].total) continue;
      const double total = *rewards[end].total;
      low = n == 0 ? total : std::min(low, total);
      high = n == 0 ? total : std::max(high, total);
      sum += total;
      ++n;
    }
    if (n == 0 || low == high || high - low > spread) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (rewards[i].total) rewards[i].total = sum / n;
    }
  }
}

}  // namespace precept
