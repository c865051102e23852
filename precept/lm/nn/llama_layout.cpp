#include <algorithm>

#include "precept/lm/nn/llama.h"

namespace precept::nn {

Layout::Layout(const LlamaConfig& shape) : config(shape) {
  if (config.head_dim == 0) config.head_dim = config.hidden_size / config.num_attention_heads;
  const int c = config.hidden_size;
  const int f = config.intermediate_size;
  const int d = config.head_dim;
  const auto add = [this](std::string name, int rows, int cols, bool residual = false) {
    params.push_back({std::move(name), size, rows, cols, residual});
    size += params.back().size();
    return params.back().offset;
  };
  embed = add("model.embed_tokens.weight", config.vocab_size, c);
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    Layer layer{};
    layer.input_norm = add(prefix + "input_layernorm.weight", c, 0);
    layer.qkv = add(prefix + "self_attn.q_proj.weight", config.num_attention_heads * d, c);
    add(prefix + "self_attn.k_proj.weight", config.num_key_value_heads * d, c);
    add(prefix + "self_attn.v_proj.weight", config.num_key_value_heads * d, c);
    if (config.qkv_bias) {
      layer.qkv_bias = add(prefix + "self_attn.q_proj.bias", config.num_attention_heads * d, 0);
      add(prefix + "self_attn.k_proj.bias", config.num_key_value_heads * d, 0);
      add(prefix + "self_attn.v_proj.bias", config.num_key_value_heads * d, 0);
    }
    if (config.qk_norm) {
      layer.q_norm = add(prefix + "self_attn.q_norm.weight", d, 0);
      layer.k_norm = add(prefix + "self_attn.k_norm.weight", d, 0);
    }
    layer.out = add(prefix + "self_attn.o_proj.weight", c, config.num_attention_heads * d, true);
    if (config.out_bias) layer.out_bias = add(prefix + "self_attn.o_proj.bias", c, 0);
    layer.post_norm = add(prefix + "post_attention_layernorm.weight", c, 0);
    layer.gate_up = add(prefix + "mlp.gate_proj.weight", f, c);
    add(prefix + "mlp.up_proj.weight", f, c);
    layer.down = add(prefix + "mlp.down_proj.weight", c, f, true);
    layers.push_back(layer);
  }
  norm = add("model.norm.weight", c, 0);
  head = config.tie_word_embeddings ? embed : add("lm_head.weight", config.vocab_size, c);
}

namespace {

// Floats of a packed matrix of n outputs and k inputs; two bf16 values share one.
std::size_t size_of(const Kernels* kernels, int k, int n) {
  const std::size_t pair = kernels && kernels == bf16_kernels() ? 2 : 1;
  return packed_size((std::size_t(k) + pair - 1) / pair, std::size_t(n));
}

}  // namespace

Weights::Weights(const Layout& layout, const Kernels* kernels, bool backward) : flat(layout.size), backwards_(backward) {
  const LlamaConfig& config = layout.config;
  const int c = config.hidden_size;
  const int heads = config.num_attention_heads * config.head_dim;
  const int wide = heads + 2 * config.num_key_value_heads * config.head_dim;
  std::size_t slots = 0;
  const auto add = [&](std::size_t offset, int rows, int cols, int parts = 1) {
    matrices_.push_back({offset, slots, rows, cols, parts});
    slots += std::max(size_of(kernels, cols, rows / parts) * std::size_t(parts), size_of(kernels, rows, cols));
  };
  if (layout.head == layout.embed) add(layout.head, config.vocab_size, c);
  for (const Layout::Layer& layer : layout.layers) {
    add(layer.qkv, wide, c);
    add(layer.out, c, heads);
    add(layer.gate_up, 2 * config.intermediate_size, c, 2);
    add(layer.down, c, config.intermediate_size);
  }
  if (layout.head != layout.embed) add(layout.head, config.vocab_size, c);
  forward_.resize(slots);
  if (backwards_) backward_.resize(slots);
}

void Weights::pack(const Kernels& kernels, int part, int parts) {
  for (std::size_t i = std::size_t(part); i < matrices_.size(); i += std::size_t(parts)) {
    const Matrix& m = matrices_[i];
    const int rows = m.rows / m.parts;
    for (int p = 0; p < m.parts; ++p) {
      const float* from = at(m.offset) + std::size_t(p) * std::size_t(rows) * std::size_t(m.cols);
      kernels.pack_cols(m.cols, rows, from, std::size_t(m.cols), forward_.data() + m.slot + std::size_t(p) * part_size(m, kernels));
    }
    if (backwards_) kernels.pack_rows(m.rows, m.cols, at(m.offset), std::size_t(m.cols), backward_.data() + m.slot);
  }
}

std::size_t Weights::part_size(const Matrix& m, const Kernels& kernels) { return size_of(&kernels, m.cols, m.rows / m.parts); }

const Weights::Matrix& Weights::matrix(std::size_t offset) const {
  const auto found = std::lower_bound(matrices_.begin(), matrices_.end(), offset,
                                      [](const Matrix& m, std::size_t at) { return m.offset < at; });
  PRECEPT_CHECK(found != matrices_.end() && found->offset == offset);
  return *found;
}

}  // namespace precept::nn
