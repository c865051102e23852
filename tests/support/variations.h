#pragma once
// The variations of the decoder, applied to a small shape, and what they mean, written here a second time from the
// papers and from Hugging Face's descriptions: nothing of the code under test is used but the config's fields.

#include <algorithm>
#include <cmath>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "precept/checkpoint/llama_config.h"

namespace precept {

struct Variation {
  std::string name;
  LlamaConfig config;
};
// Or its bytes are printed, those between its members too.
inline void PrintTo(const Variation& variation, std::ostream* out) { *out << variation.name; }

inline std::vector<Variation> variations(const LlamaConfig& base) {
  std::vector<Variation> all;
  const auto add = [&](const char* name, auto change) {
    all.push_back({name, base});
    change(all.back().config);
  };
  using Type = RopeScaling::Type;
  add("llama", [](LlamaConfig&) {});
  add("llama_attention_bias", [](LlamaConfig& c) { c.qkv_bias = c.out_bias = true; });
  add("mistral_window_5", [](LlamaConfig& c) {
    c.architecture = Architecture::kMistral;
    c.sliding_window = 5;
  });
  add("mistral_window_1", [](LlamaConfig& c) {
    c.architecture = Architecture::kMistral;
    c.sliding_window = 1;
  });
  add("qwen2", [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen2;
    c.qkv_bias = true;
  });
  add("qwen2_slides_in_the_second_layer", [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen2;
    c.qkv_bias = true;
    c.sliding_window = 20;
    c.slides.assign(static_cast<std::size_t>(c.num_hidden_layers), false);
    c.slides[1] = true;
  });
  add("qwen3", [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen3;
    c.qk_norm = true;
  });
  add("rope_linear", [](LlamaConfig& c) { c.rope_scaling = {Type::kLinear, 2.5}; });
  add("rope_llama3", [](LlamaConfig& c) {
    c.rope_scaling = {Type::kLlama3, 8, 64};
    c.rope_theta = 500;
  });
  add("rope_yarn", [](LlamaConfig& c) {
    c.rope_scaling = {Type::kYarn, 4, 32};
    c.rope_theta = 500;
  });
  return all;
}

// Angle of pair d at position 1.
inline double reference_frequency(const LlamaConfig& c, int d) {
  const double plain = 1.0 / std::pow(c.rope_theta, 2.0 * d / c.head_dim);
  const RopeScaling& s = c.rope_scaling;
  const double pi = 3.14159265358979323846;
  switch (s.type) {
    case RopeScaling::Type::kNone: return plain;
    case RopeScaling::Type::kLinear: return plain / s.factor;
    case RopeScaling::Type::kLlama3: {
      // turns within the original context; from low to high the blend goes from stretched to kept
      const double turns = s.original_max_position_embeddings * plain / (2 * pi);
      const double kept = std::clamp((turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
      return plain * (kept + (1 - kept) / s.factor);
    }
    case RopeScaling::Type::kYarn: {
      const auto pair = [&](double turns) {  // where a pair turns so often: theta^(2d/dim) = L / (2 pi turns)
        return std::log(s.original_max_position_embeddings / (2 * pi * turns)) / std::log(c.rope_theta) * c.head_dim / 2;
      };
      const double low = std::max(0.0, std::floor(pair(s.beta_fast)));
      const double high = std::min(c.head_dim - 1.0, std::ceil(pair(s.beta_slow)));
      const double stretched = std::clamp((d - low) / (high == low ? 0.001 : high - low), 0.0, 1.0);
      return plain * (1 - stretched) + plain / s.factor * stretched;
    }
  }
  return plain;
}

inline double reference_attention_factor(const LlamaConfig& c) {
  return c.rope_scaling.type == RopeScaling::Type::kYarn ? 1 + std::log(c.rope_scaling.factor) / 10 : 1;
}

// Element d of each head pairs with element d + dim/2.
inline void reference_rotate(std::vector<double>& heads, const LlamaConfig& c, int position) {
  const std::size_t dim = static_cast<std::size_t>(c.head_dim);
  for (std::size_t start = 0; start < heads.size(); start += dim) {
    for (std::size_t d = 0; d < dim / 2; ++d) {
      const double angle = position * reference_frequency(c, static_cast<int>(d));
      const double by = reference_attention_factor(c);
      double& a = heads[start + d];
      double& b = heads[start + d + dim / 2];
      const double old = a;
      a = by * (old * std::cos(angle) - b * std::sin(angle));
      b = by * (b * std::cos(angle) + old * std::sin(angle));
    }
  }
}

// The first position that one at `position` sees in a layer.
inline int reference_first_seen(const LlamaConfig& c, int layer, int position) {
  const bool slides = c.sliding_window > 0 && (c.slides.empty() || c.slides[static_cast<std::size_t>(layer)]);
  return slides ? std::max(0, position - c.sliding_window + 1) : 0;
}

}  // namespace precept
