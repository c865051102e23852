// Legend: T rows, K rank of a module, N its outputs, C its inputs.
#include "precept/lm/nn/lora.h"

#include <algorithm>

#include "precept/core/result.h"

namespace precept::nn {
namespace {

struct Place {
  Product product;
  int at;
};

// Where the outputs of a module lie among those of its product.
Place place_of(const LlamaConfig& c, const std::string& name) {
  const int dim = c.head_dim ? c.head_dim : c.hidden_size / c.num_attention_heads;
  const std::string last = name.substr(name.rfind('.') + 1);
  if (last == "q_proj") return {Product::kQkv, 0};
  if (last == "k_proj") return {Product::kQkv, c.num_attention_heads * dim};
  if (last == "v_proj") return {Product::kQkv, (c.num_attention_heads + c.num_key_value_heads) * dim};
  if (last == "o_proj") return {Product::kOut, 0};
  if (last == "gate_proj") return {Product::kGateUp, 0};
  if (last == "up_proj") return {Product::kGateUp, c.intermediate_size};
  PRECEPT_CHECK(last == "down_proj");
  return {Product::kDown, 0};
}

void scale_rows(std::size_t count, float scale, float* values) {
  for (std::size_t i = 0; i < count; ++i) values[i] *= scale;
}

}  // namespace

LoraLayout::LoraLayout(const LlamaConfig& config, const std::vector<LoraTarget>& targets)
    : products(4 * static_cast<std::size_t>(config.num_hidden_layers)) {
  const std::string prefix = "model.layers.";
  for (const LoraTarget& target : targets) {
    const Place place = place_of(config, target.name);
    const std::size_t layer = std::stoul(target.name.substr(prefix.size()));
    Module m{target.name, target.out, target.in, target.rank, static_cast<float>(target.scale), place.at, 0, 0, modules.size()};
    const auto rank = static_cast<std::size_t>(m.rank);
    m.a = size;
    m.b = m.a + rank * static_cast<std::size_t>(m.in);
    size = m.b + rank * static_cast<std::size_t>(m.out);
    most_rank = std::max(most_rank, m.rank);
    products[4 * layer + static_cast<std::size_t>(place.product)].push_back(m);
    modules.push_back(std::move(m));
  }
}

LoraWeights::LoraWeights(const LoraLayout& of, bool backward) : layout(of), flat(of.size), backward_(backward) {
  std::size_t size = 0;
  const auto add = [&size](int k, int n) {
    const std::size_t at = size;
    size += packed_size(static_cast<std::size_t>(k), static_cast<std::size_t>(n));
    return at;
  };
  for (const LoraLayout::Module& m : layout.modules) {
    Slots slots{add(m.in, m.rank), add(m.rank, m.out), 0, 0};
    if (backward_) {
      slots.a_backward = add(m.rank, m.in);
      slots.b_backward = add(m.out, m.rank);
    }
    slots_.push_back(slots);
  }
  packed_.resize(size);
}

void LoraWeights::pack(const Kernels& kernels) {
  for (const LoraLayout::Module& m : layout.modules) {
    const Slots& slots = slots_[m.index];
    const float *a = flat.data() + m.a, *b = flat.data() + m.b;
    const auto in = static_cast<std::size_t>(m.in), rank = static_cast<std::size_t>(m.rank);
    kernels.pack_cols(m.in, m.rank, a, in, packed_.data() + slots.a_forward);
    kernels.pack_cols(m.rank, m.out, b, rank, packed_.data() + slots.b_forward);
    if (!backward_) continue;
    kernels.pack_rows(m.rank, m.in, a, in, packed_.data() + slots.a_backward);
    kernels.pack_rows(m.out, m.rank, b, rank, packed_.data() + slots.b_backward);
  }
}

void lora_forward(const Kernels& kernels, const LoraWeights& weights, const LoraLayout::Module& m, int rows, const float* x,
                  float* u, float* y, std::size_t ldy) {
  const auto rank = static_cast<std::size_t>(m.rank);
  kernels.gemm(rows, m.rank, m.in, x, static_cast<std::size_t>(m.in), 1, weights.a_forward(m), u, rank, false);
  scale_rows(static_cast<std::size_t>(rows) * rank, m.scale, u);
  kernels.gemm(rows, m.out, m.rank, u, rank, 1, weights.b_forward(m), y + m.at, ldy, true);
}

LoraPass::LoraPass(const LoraWeights& weights, const Kernels& kernels)
    : weights_(weights), k_(kernels), kept_TK_(weights.layout.modules.size()) {}

void LoraPass::forward(std::size_t layer, Product product, int t, const float* x, float* y, std::size_t ldy) {
  for (const LoraLayout::Module& m : weights_.layout.of(layer, product)) {
    float* u = sized(kept_TK_[m.index], static_cast<std::size_t>(t) * static_cast<std::size_t>(m.rank));
    lora_forward(k_, weights_, m, t, x, u, y, ldy);
  }
}

void LoraPass::backward(std::size_t layer, Product product, int t, const float* x, const float* dy, std::size_t ldy, float* dx,
                        float* gradient, float* panel) {
  bool packed_x = false;
  for (const LoraLayout::Module& m : weights_.layout.of(layer, product)) {
    const auto rows = static_cast<std::size_t>(t), rank = static_cast<std::size_t>(m.rank), in = static_cast<std::size_t>(m.in);
    if (!packed_x) k_.pack_rows(t, m.in, x, in, panel);
    packed_x = true;
    const float* dy_TN = dy + m.at;
    // dB += dy^T u
    float* packed = sized(packed_u_, packed_size(rows, rank));
    k_.pack_rows(t, m.rank, kept_TK_[m.index].data(), rank, packed);
    k_.gemm(m.out, m.rank, t, dy_TN, 1, ldy, packed, gradient + m.b, rank, true);
    // du = s dy B; dA += du^T x; dx += du A
    float* du = sized(du_TK_, rows * rank);
    k_.gemm(t, m.rank, m.out, dy_TN, ldy, 1, weights_.b_backward(m), du, rank, false);
    scale_rows(rows * rank, m.scale, du);
    k_.gemm(m.rank, m.in, t, du, 1, rank, panel, gradient + m.a, in, true);
    k_.gemm(t, m.in, m.rank, du, rank, 1, weights_.a_backward(m), dx, in, true);
  }
}

}  // namespace precept::nn
