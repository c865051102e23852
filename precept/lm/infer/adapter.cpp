#include "precept/lm/infer/adapter.h"

#include <algorithm>

namespace precept::infer {

Result<std::unique_ptr<Adapter>> load_adapter(const std::string& name, const std::string& folder, const LlamaConfig& base,
                                              const std::string& base_digest, const nn::Kernels& kernels) {
  const Result<PeftAdapter> loaded = load_peft(folder, base);
  if (!loaded) return tl::unexpected(loaded.error());
  const Result<std::vector<LoraTarget>> targets = lora_targets(loaded->config, base, folder + "/adapter_config.json");
  if (!targets) return tl::unexpected(targets.error());
  const Result<std::string> digest = peft_digest(folder);
  if (!digest) return tl::unexpected(digest.error());
  auto adapter = std::make_unique<Adapter>(name, adapted_digest(base_digest, *digest), base, *targets);
  for (const nn::LoraLayout::Module& m : adapter->layout.modules) {
    const LoraPair& pair = loaded->pairs[m.index];
    std::copy(pair.a.begin(), pair.a.end(), adapter->weights.flat.begin() + static_cast<std::ptrdiff_t>(m.a));
    std::copy(pair.b.begin(), pair.b.end(), adapter->weights.flat.begin() + static_cast<std::ptrdiff_t>(m.b));
  }
  adapter->weights.pack(kernels);
  return adapter;
}

void AdapterProducts::add(const std::vector<AdapterRows>& runs, std::size_t layer, nn::Product product, const float* x, std::size_t in,
                          float* y, std::size_t out) {
  for (const AdapterRows& run : runs) {
    if (run.adapter == nullptr) continue;
    const auto from = static_cast<std::size_t>(run.from);
    const std::size_t scratch = static_cast<std::size_t>(run.rows) * static_cast<std::size_t>(run.adapter->layout.most_rank);
    if (u_RK_.size() < scratch) u_RK_.resize(scratch);
    for (const nn::LoraLayout::Module& m : run.adapter->layout.of(layer, product)) {
      nn::lora_forward(kernels_, run.adapter->weights, m, run.rows, x + from * in, u_RK_.data(), y + from * out, out);
    }
  }
}

}  // namespace precept::infer
