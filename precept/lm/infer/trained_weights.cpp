#include "precept/lm/infer/weights.h"

namespace precept::infer {

// Panels are the same in nn::Kernels and nn::RowKernels (row_kernels.h): which of the two packed them does not matter.
Weights trained_weights(const nn::Layout& layout, const nn::Weights& weights, const nn::Kernels& kernels) {
  const auto precision = &kernels == nn::bf16_kernels() ? nn::Precision::kBf16 : nn::Precision::kFp32;
  const LlamaConfig& c = layout.config;
  const int hidden = c.hidden_size, queries = c.num_attention_heads * c.head_dim, wide = queries + 2 * c.num_key_value_heads * c.head_dim;
  const auto matrix = [&](const float* packed, int rows, int cols) {
    Matrix m;
    m.rows = rows;
    m.cols = cols;
    m.packed = {reinterpret_cast<const nn::Lane*>(packed), nn::packed_lanes(precision, static_cast<std::size_t>(cols), static_cast<std::size_t>(rows))};
    return m;
  };
  const auto vector = [&](bool there, std::size_t offset, int size) {
    return there ? Weights::Vector(weights.at(offset), static_cast<std::size_t>(size)) : Weights::Vector();
  };
  Weights out;
  out.config = c;
  out.precision = precision;
  out.trained = &weights;
  for (const nn::Layout::Layer& layer : layout.layers) {
    Weights::Layer one;
    one.input_norm = vector(true, layer.input_norm, hidden);
    one.post_norm = vector(true, layer.post_norm, hidden);
    one.qkv_bias = vector(c.qkv_bias, layer.qkv_bias, wide);
    one.out_bias = vector(c.out_bias, layer.out_bias, hidden);
    one.q_norm = vector(c.qk_norm, layer.q_norm, c.head_dim);
    one.k_norm = vector(c.qk_norm, layer.k_norm, c.head_dim);
    one.qkv = matrix(weights.panels(layer.qkv), wide, hidden);
    one.out = matrix(weights.panels(layer.out), hidden, queries);
    one.gate = matrix(weights.panels(layer.gate_up), c.intermediate_size, hidden);
    one.up = matrix(weights.panels_up(layer.gate_up), c.intermediate_size, hidden);
    one.down = matrix(weights.panels(layer.down), hidden, c.intermediate_size);
    out.layers.push_back(std::move(one));
  }
  out.norm = vector(true, layout.norm, hidden);
  out.head = matrix(weights.panels(layout.head), c.vocab_size, hidden);
  return out;
}

}  // namespace precept::infer
