#pragma once
// Random adapters, and what they do to a model's weights, in double.

#include <cmath>
#include <string>
#include <vector>

#include "precept/checkpoint/peft.h"
#include "precept/core/rng.h"
#include "precept/lm/nn/llama.h"

namespace precept::lora_test {

inline LoraConfig all_targets(int rank, double alpha) {
  LoraConfig config;
  config.r = rank;
  config.lora_alpha = alpha;
  config.target_pattern = "all-linear";
  return config;
}

// A and B of a size that changes answers clearly.
inline PeftAdapter random_adapter(const LoraConfig& config, const LlamaConfig& base, std::uint64_t seed, double b_spread = 0.3) {
  PeftAdapter adapter;
  adapter.config = config;
  const auto targets = lora_targets(config, base);
  PRECEPT_CHECK(targets.has_value());
  for (const LoraTarget& t : *targets) {
    Rng rng({seed, hash64(t.name), 5, 0});
    LoraPair pair{t.name, std::vector<float>(std::size_t(t.rank) * std::size_t(t.in)), std::vector<float>(std::size_t(t.out) * std::size_t(t.rank))};
    for (float& v : pair.a) v = float(rng.normal() / std::sqrt(double(t.in)));
    for (float& v : pair.b) v = float(b_spread * rng.normal());
    adapter.pairs.push_back(std::move(pair));
  }
  return adapter;
}

// The flat buffer of the trainer's layout with W + s B A in every adapted matrix, as plainly as it can be said.
template <class Numbers>
std::vector<double> adapted(const nn::Layout& layout, const Numbers& flat, const std::vector<LoraTarget>& targets,
                            const nn::LoraLayout& lora, const std::vector<double>& pairs) {
  std::vector<double> all(flat.begin(), flat.end());
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const LoraTarget& t = targets[i];
    const nn::LoraLayout::Module& m = lora.modules[i];
    for (const nn::Param& param : layout.params) {
      if (param.name != t.name + ".weight") continue;
      for (int r = 0; r < t.out; ++r) {
        for (int c = 0; c < t.in; ++c) {
          for (int k = 0; k < t.rank; ++k) {
            all[param.offset + std::size_t(r) * t.in + c] +=
                t.scale * pairs[m.b + std::size_t(r) * t.rank + k] * pairs[m.a + std::size_t(k) * t.in + c];
          }
        }
      }
    }
  }
  return all;
}

inline std::vector<float> flat_of(const PeftAdapter& adapter, const nn::LoraLayout& lora) {
  std::vector<float> flat(lora.size);
  for (const nn::LoraLayout::Module& m : lora.modules) {
    const LoraPair& pair = adapter.pairs[m.index];
    std::copy(pair.a.begin(), pair.a.end(), flat.begin() + std::ptrdiff_t(m.a));
    std::copy(pair.b.begin(), pair.b.end(), flat.begin() + std::ptrdiff_t(m.b));
  }
  return flat;
}

}  // namespace precept::lora_test
