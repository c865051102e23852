#include "precept/lm/infer/adapter.h"

#include <algorithm>
#include <bit>

namespace precept::infer {

Result<std::unique_ptr<Adapter>> load_adapter(const std::string& name, const std::string& folder, const LlamaConfig& base,
                                              const std::string& base_digest, const nn::Kernels& kernels) {
  const Result<PeftAdapter> loaded = load_peft(folder, base);
  if (!loaded) return tl::unexpected(loaded.error());
  const Result<std::vector<LoraTarget>> targets = lora_targets(loaded->config, base, folder + "/adapter_config.json");
  if (!targets) return tl::unexpected(targets.error());
  const Result<std::string> digest = peft_digest(folder);
  if (!digest) return tl::unexpected(digest.error());
  auto own = std::make_unique<Adapter::Loaded>(base, *targets);
  for (const nn::LoraLayout::Module& m : own->layout.modules) {
    const LoraPair& pair = loaded->pairs[m.index];
    std::copy(pair.a.begin(), pair.a.end(), own->weights.flat.begin() + static_cast<std::ptrdiff_t>(m.a));
    std::copy(pair.b.begin(), pair.b.end(), own->weights.flat.begin() + static_cast<std::ptrdiff_t>(m.b));
  }
  own->weights.pack(kernels);
  return std::make_unique<Adapter>(name, adapted_digest(base_digest, *digest), std::move(own));
}

namespace {

void values_of(const nn::RowKernels& kernels, int n, const nn::Lane* from, float* to) {
  for (int i = 0; i < n; ++i) {
    if (kernels.precision == nn::Precision::kFp32 || kernels.wide_rows) {
      to[i] = std::bit_cast<float>(from[i]);
    } else {
      to[i] = std::bit_cast<float>(i % 2 == 0 ? from[i / 2] << 16 : from[i / 2] & 0xFFFF0000U);
    }
  }
}

}  // namespace

void AdapterProducts::add(const Adapter& adapter, std::size_t layer, nn::Product product, const nn::RowKernels& of, int rows,
                          const nn::Lane* x, std::size_t lda, int in, float* y, std::size_t out) {
  const std::vector<nn::LoraLayout::Module>& modules = adapter.layout.of(layer, product);
  if (modules.empty()) return;
  const auto count = static_cast<std::size_t>(rows), width = static_cast<std::size_t>(in);
  if (x_RC_.size() < count * width) x_RC_.resize(count * width);
  for (std::size_t r = 0; r < count; ++r) values_of(of, in, x + r * lda, x_RC_.data() + r * width);
  const std::size_t scratch = count * static_cast<std::size_t>(adapter.layout.most_rank);
  if (u_RK_.size() < scratch) u_RK_.resize(scratch);
  for (const nn::LoraLayout::Module& m : modules) nn::lora_forward(kernels_, adapter.weights, m, rows, x_RC_.data(), u_RK_.data(), y, out);
}

}  // namespace precept::infer
