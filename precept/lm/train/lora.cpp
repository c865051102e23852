#include "precept/lm/train/lora.h"

#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "precept/core/rng.h"

namespace precept {

Result<LoraConfig> lora_config_of(const LoraOptions& options, const std::string& base_folder) {
  if (options.rank < 1 || options.rank > kMaxLoraRank) {
    return bad_input(fmt::format("the adapter's rank is {}", options.rank), fmt::format("use 1 to {}", kMaxLoraRank));
  }
  if (!(options.alpha > 0) || !std::isfinite(options.alpha)) return bad_input("the adapter's alpha must be a positive number");
  LoraConfig config;
  config.r = options.rank;
  config.lora_alpha = options.alpha;
  config.use_rslora = options.rslora;
  if (options.targets == "all-linear") {
    config.target_pattern = options.targets;
  } else {
    for (std::size_t at = 0; at <= options.targets.size();) {
      const std::size_t comma = std::min(options.targets.find(',', at), options.targets.size());
      std::string target = options.targets.substr(at, comma - at);
      const std::size_t first = target.find_first_not_of(' ');
      if (first == std::string::npos) {
        return bad_input("the adapter's targets \"" + options.targets + "\" have an empty name", "write them as q_proj,v_proj");
      }
      target = target.substr(first, target.find_last_not_of(' ') - first + 1);
      config.target_modules.push_back(std::move(target));
      at = comma + 1;
    }
  }
  std::filesystem::path base = std::filesystem::absolute(base_folder).lexically_normal();
  if (!base.has_filename()) base = base.parent_path();
  config.base_model_name_or_path = base.string();
  return config;
}

std::vector<float> initial_lora(const nn::LoraLayout& layout, std::uint64_t seed) {
  std::vector<float> flat(layout.size, 0.0F);
  for (const nn::LoraLayout::Module& m : layout.modules) {
    Rng rng({seed, hash64(m.name + ".lora_A"), 0, 0});
    const double bound = 1.0 / std::sqrt(double(m.in));
    const std::size_t size = std::size_t(m.rank) * std::size_t(m.in);
    for (std::size_t i = 0; i < size; ++i) flat[m.a + i] = static_cast<float>(bound * (2.0 * rng.uniform() - 1.0));
  }
  return flat;
}

PeftAdapter adapter_of(const LoraConfig& config, const nn::LoraLayout& layout, const std::vector<float>& flat) {
  PeftAdapter adapter;
  adapter.config = config;
  for (const nn::LoraLayout::Module& m : layout.modules) {
    const float *a = flat.data() + m.a, *b = flat.data() + m.b;
    const std::size_t rank = std::size_t(m.rank);
    adapter.pairs.push_back({m.name, std::vector<float>(a, a + rank * std::size_t(m.in)), std::vector<float>(b, b + rank * std::size_t(m.out))});
  }
  return adapter;
}

}  // namespace precept
