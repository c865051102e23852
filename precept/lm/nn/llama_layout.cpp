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

constexpr std::size_t kPieceFloats = 1 << 16;  // about so many: a piece is packed from the cache

}  // namespace

Weights::Weights(const Layout& layout, const Kernels& kernels, bool backward, std::size_t extra) : kernels_(kernels), backwards_(backward) {
  lay_out(layout);
  std::size_t kept = 0;
  const auto keep = [&](std::size_t offset, std::size_t size) {
    kept_at_.push_back({offset, kept});
    kept += size;
  };
  std::size_t next = 0;  // matrix; the one before it ends at `end`
  std::size_t end = 0;
  for (const Param& param : layout.params) {
    if (param.offset < end) continue;  // k and v after q, up after gate
    const bool packed = next < matrices_.size() && matrices_[next].offset == param.offset;
    if (!packed || param.offset == layout.embed) keep(param.offset, param.size());
    if (packed) {
      const Matrix& m = matrices_[next];
      end = m.offset + std::size_t(m.rows) * std::size_t(m.cols);
      add_pieces(m.offset, m.rows, m.cols, int(next++));
    } else {
      add_pieces(param.offset, param.rows, param.cols, -1);
    }
  }
  if (extra > 0) {
    keep(layout.size, extra);
    add_pieces(layout.size, int(extra), 0, -1);
  }
  kept_.resize(kept);
}

// Pieces of a packed matrix are whole panels of a part of it, and begin at an even row, so that none shares a lane with another.
void Weights::add_pieces(std::size_t offset, int rows, int cols, int matrix) {
  const auto width = std::size_t(cols ? cols : 1);
  const int parts = matrix < 0 ? 1 : matrices_[std::size_t(matrix)].parts, part = rows / parts;
  const int some = std::max(1, int(kPieceFloats / width) / kPanel) * kPanel;
  const int most = cols == 0 || (parts > 1 && part % 2 != 0) ? rows : some;
  for (int row = 0; row < rows;) {
    const int count = most == rows ? rows : std::min(most, part - row % part);
    const std::size_t begin = offset + std::size_t(row) * width;
    pieces_.push_back({begin, begin + std::size_t(count) * width, cols == 0, matrix, row, count});
    row += count;
  }
}

void Weights::set(const Piece& piece, const float* values) {
  const auto kept = std::upper_bound(kept_at_.begin(), kept_at_.end(), piece.begin, [](std::size_t at, const Kept& k) { return at < k.offset; });
  const bool tied = piece.matrix == 0 && kept_at_.front().offset == matrices_.front().offset;
  if (piece.matrix < 0 || tied) std::copy_n(values, piece.end - piece.begin, kept_.data() + std::prev(kept)->place + (piece.begin - std::prev(kept)->offset));
  if (piece.matrix < 0) return;
  const Matrix& m = matrices_[std::size_t(piece.matrix)];
  const int part = m.rows / m.parts;
  const auto cols = std::size_t(m.cols);
  for (int r = 0; r < piece.rows;) {
    const int row = (piece.row + r) % part, count = std::min(piece.rows - r, part - row);
    float* to = forward_.data() + m.slot + std::size_t((piece.row + r) / part) * part_size(m);
    kernels_.pack_cols(m.cols, count, values + std::size_t(r) * cols, cols, to + packed_size(kernels_, m.cols, row));
    r += count;
  }
  if (!backwards_) return;
  float* to = backward_.data() + m.slot + packed_size(kernels_, piece.row, kPanel);
  for (int col = 0; col < m.cols; col += kPanel, to += packed_size(kernels_, m.rows, kPanel)) {
    kernels_.pack_rows(piece.rows, std::min(kPanel, m.cols - col), values + col, cols, to);
  }
}

std::size_t Weights::place(std::size_t offset) const {
  const auto found = std::lower_bound(kept_at_.begin(), kept_at_.end(), offset, [](const Kept& k, std::size_t at) { return k.offset < at; });
  PRECEPT_CHECK(found != kept_at_.end() && found->offset == offset);
  return found->place;
}

void Weights::lay_out(const Layout& layout) {
  const LlamaConfig& config = layout.config;
  const int c = config.hidden_size;
  const int heads = config.num_attention_heads * config.head_dim;
  const int wide = heads + 2 * config.num_key_value_heads * config.head_dim;
  std::size_t slots = 0;
  const auto add = [&](std::size_t offset, int rows, int cols, int parts = 1) {
    matrices_.push_back({offset, slots, rows, cols, parts});
    slots += std::max(packed_size(kernels_, cols, rows / parts) * std::size_t(parts), packed_size(kernels_, rows, cols));
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

std::size_t Weights::part_size(const Matrix& m) const { return packed_size(kernels_, m.cols, m.rows / m.parts); }

const Weights::Matrix& Weights::matrix(std::size_t offset) const {
  const auto found = std::lower_bound(matrices_.begin(), matrices_.end(), offset,
                                      [](const Matrix& m, std::size_t at) { return m.offset < at; });
  PRECEPT_CHECK(found != matrices_.end() && found->offset == offset);
  return *found;
}

}  // namespace precept::nn
