#include <algorithm>
#include <cmath>
#include <numbers>

#include "precept/checkpoint/llama_config.h"

namespace precept {
namespace {

// Llama 3.1: long waves are stretched by the factor, short ones kept, those in between mixed.
double llama3(double frequency, const RopeScaling& scaling) {
  const double wave = 2 * std::numbers::pi / frequency;
  const double positions = scaling.original_max_position_embeddings;
  if (wave < positions / scaling.high_freq_factor) return frequency;
  if (wave > positions / scaling.low_freq_factor) return frequency / scaling.factor;
  const double kept = (positions / wave - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - kept) * frequency / scaling.factor + kept * frequency;
}

// The pair (a fraction of it) whose wave turns `turns` times within the original context: arXiv 2309.00071, eq. 17 and 18.
double pair_of_turns(double turns, const LlamaConfig& config, double positions) {
  return config.head_dim * std::log(positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.rope_theta));
}

struct Ramp {
  double low, high;
  double at(double pair) const { return std::clamp((pair - low) / (high - low), 0.0, 1.0); }
};

Ramp yarn_ramp(const LlamaConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const double positions = scaling.original_max_position_embeddings > 0 ? scaling.original_max_position_embeddings
                                                                        : config.max_position_embeddings;
  double low = pair_of_turns(scaling.beta_fast, config, positions);
  double high = pair_of_turns(scaling.beta_slow, config, positions);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, config.head_dim - 1.0);
  if (low == high) high += 0.001;
  return {low, high};
}

}  // namespace

std::vector<double> rope_frequencies(const LlamaConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const Ramp ramp = scaling.type == RopeScaling::Type::kYarn ? yarn_ramp(config) : Ramp{0, 1};
  std::vector<double> frequencies(static_cast<std::size_t>(config.head_dim / 2));
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    double& frequency = frequencies[i];
    frequency = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / config.head_dim);
    switch (scaling.type) {
      case RopeScaling::Type::kNone: break;
      case RopeScaling::Type::kLinear: frequency /= scaling.factor; break;
      case RopeScaling::Type::kLlama3: frequency = llama3(frequency, scaling); break;
      case RopeScaling::Type::kYarn: {
        const double stretched = ramp.at(static_cast<double>(i));
        frequency = stretched * frequency / scaling.factor + (1 - stretched) * frequency;
      }
    }
  }
  return frequencies;
}

double rope_attention_factor(const LlamaConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type != RopeScaling::Type::kYarn) return 1;
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  return scaling.factor > 1 ? 0.1 * std::log(scaling.factor) + 1 : 1;
}

}  // namespace precept
