// An adapter becomes part of its base.

#include <algorithm>
#include <map>

#include "precept/checkpoint/peft.h"
#include "precept/core/parallel.h"

namespace precept {

void add_lora(const LoraTarget& target, const LoraPair& pair, std::int64_t first, std::span<float> rows) {
  const auto in = static_cast<std::size_t>(target.in), rank = static_cast<std::size_t>(target.rank);
  const std::size_t count = rows.size() / in, begin = static_cast<std::size_t>(first);
  PRECEPT_CHECK(rows.size() == count * in && pair.a.size() == rank * in && (begin + count) * rank <= pair.b.size());
  constexpr std::size_t kTogether = 16;  // rows of one piece of work
  in_parallel((count + kTogether - 1) / kTogether, [&](std::size_t piece) {
    std::vector<double> sum(in);
    for (std::size_t i = piece * kTogether; i < std::min(count, (piece + 1) * kTogether); ++i) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::size_t r = 0; r < rank; ++r) {
        const double b = pair.b[(begin + i) * rank + r];
        const float* a = pair.a.data() + r * in;
        for (std::size_t j = 0; j < in; ++j) sum[j] += b * static_cast<double>(a[j]);
      }
      float* w = rows.data() + i * in;
      for (std::size_t j = 0; j < in; ++j) w[j] = static_cast<float>(static_cast<double>(w[j]) + target.scale * sum[j]);
    }
  });
}

Status merge_adapter(const std::string& base_folder, const PeftAdapter& adapter, const std::string& out, const SaveOptions& options) {
  const auto config = load_llama_config(base_folder);
  if (!config) return tl::unexpected(config.error());
  const auto targets = lora_targets(adapter.config, *config);
  if (!targets) return tl::unexpected(targets.error());
  PRECEPT_CHECK(targets->size() == adapter.pairs.size());
  std::map<std::string, std::size_t> changed;  // index of the target, by the tensor's name
  for (std::size_t i = 0; i < targets->size(); ++i) changed[(*targets)[i].name + ".weight"] = i;
  return copy_checkpoint(base_folder, out, options, [&](const std::string& name, std::int64_t first, std::span<float> rows) {
    const auto found = changed.find(name);
    if (found != changed.end()) add_lora((*targets)[found->second], adapter.pairs[found->second], first, rows);
  });
}

}  // namespace precept
