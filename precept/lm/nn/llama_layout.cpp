#include <algorithm>
#include <bit>
#include <cstring>

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

Weights::Weights(const Layout& layout, const Kernels& kernels, std::size_t extra)
    : kernels_(kernels), embed_(layout.embed), width_(layout.config.hidden_size) {
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
    if (!packed) keep(param.offset, param.size());
    if (packed) {
      const Matrix& m = matrices_[next];
      end = m.offset + std::size_t(m.rows) * std::size_t(m.cols);
      add_pieces(m.offset, m.rows, m.cols, int(next++));
      if (param.offset == layout.embed) unrounded_.resize(pieces_.size());
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

// Pieces of a packed matrix are whole panels of one part of it.
void Weights::add_pieces(std::size_t offset, int rows, int cols, int matrix) {
  const auto width = std::size_t(cols ? cols : 1);
  const int parts = matrix < 0 ? 1 : matrices_[std::size_t(matrix)].parts, part = rows / parts;
  const int some = std::max(1, int(kPieceFloats / width) / kPanel) * kPanel;
  for (int row = 0; row < rows;) {
    const int count = cols == 0 ? rows : std::min(some, part - row % part);
    const std::size_t begin = offset + std::size_t(row) * width;
    pieces_.push_back({begin, begin + std::size_t(count) * width, cols == 0, matrix, row, count});
    row += count;
  }
}

void Weights::set(const Piece& piece, const float* values) {
  if (piece.matrix < 0) {
    const auto kept = std::prev(
        std::upper_bound(kept_at_.begin(), kept_at_.end(), piece.begin, [](std::size_t at, const Kept& k) { return at < k.offset; }));
    std::copy_n(values, piece.end - piece.begin, kept_.data() + kept->place + (piece.begin - kept->offset));
    return;
  }
  const Matrix& m = matrices_[std::size_t(piece.matrix)];
  kernels_.pack_cols(m.cols, piece.rows, values, std::size_t(m.cols), packed_.data() + panel(m, piece.row));
  if (piece.matrix == 0 && !unrounded_.empty()) keep_if_rounded(piece, values);
}

void Weights::keep_if_rounded(const Piece& piece, const float* values) {
  const auto width = std::size_t(width_);
  Floats row(width);
  bool same = true;
  for (int r = 0; r < piece.rows && same; ++r) {
    unpack(matrices_[0], piece.row + r, row.data());
    same = std::memcmp(row.data(), values + std::size_t(r) * width, sizeof(float) * width) == 0;
  }
  Floats& kept = unrounded_[std::size_t(piece.row / pieces_[0].rows)];
  if (same) Floats().swap(kept);
  else kept.assign(values, values + std::size_t(piece.rows) * width);
}

void Weights::embedding(int token, float* row) const {
  const auto copy = [&](const float* rows, int r) { std::copy_n(rows + std::size_t(r) * std::size_t(width_), width_, row); };
  if (unrounded_.empty()) return copy(at(embed_), token);
  const int rows = pieces_[0].rows;
  const Floats& kept = unrounded_[std::size_t(token / rows)];
  kept.empty() ? unpack(matrices_[0], token, row) : copy(kept.data(), token % rows);
}

std::size_t Weights::panel(const Matrix& m, int row) const {
  const int part = m.rows / m.parts;
  return m.slot + std::size_t(row / part) * part_size(m) + packed_size(kernels_, m.cols, row % part / kPanel * kPanel);
}

void Weights::unpack(const Matrix& m, int row, float* values) const {
  const float* from = packed_.data() + panel(m, row) + row % (m.rows / m.parts) % kPanel;
  if (kernels_.pair == 1) {
    for (int i = 0; i < m.cols; ++i, from += kPanel) values[i] = *from;
    return;
  }
  for (int i = 0; i < m.cols; i += 2, from += kPanel) {
    const auto both = std::bit_cast<std::uint32_t>(*from);
    values[i] = std::bit_cast<float>(both << 16);
    if (i + 1 < m.cols) values[i + 1] = std::bit_cast<float>(both & 0xFFFF0000U);
  }
}

void Weights::times(std::size_t offset, int m, const float* a, float* c, Floats& scratch) const {
  const Matrix& w = matrix(offset);
  const int slab = std::min(kDepthLanes * kernels_.pair, w.rows);
  const bool whole = w.parts == 1 || w.rows / w.parts % kPanel == 0;  // else a part's last panel is not full, and a lane may have rows of both
  const std::size_t cols = std::size_t(w.cols), size = packed_size(kernels_, slab, w.cols);
  float* turned = sized(scratch, whole ? size : size + std::size_t(slab) * cols);
  for (int row = 0; row < w.rows; row += slab) {
    const int depth = std::min(slab, w.rows - row);
    if (whole) {
      kernels_.turn_panels(depth, w.cols, packed_.data() + panel(w, row), packed_size(kernels_, w.cols, kPanel), turned);
    } else {
      float* rows = turned + size;
      for (int r = 0; r < depth; ++r) unpack(w, row + r, rows + std::size_t(r) * cols);
      kernels_.pack_rows(depth, w.cols, rows, cols, turned);
    }
    kernels_.gemm(m, w.cols, depth, a + row, std::size_t(w.rows), 1, turned, c, cols, row > 0);
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
    slots += packed_size(kernels_, cols, rows / parts) * std::size_t(parts);
  };
  if (layout.head == layout.embed) add(layout.head, config.vocab_size, c);
  for (const Layout::Layer& layer : layout.layers) {
    add(layer.qkv, wide, c);
    add(layer.out, c, heads);
    add(layer.gate_up, 2 * config.intermediate_size, c, 2);
    add(layer.down, c, config.intermediate_size);
  }
  if (layout.head != layout.embed) add(layout.head, config.vocab_size, c);
  packed_.resize(slots);
}

std::size_t Weights::part_size(const Matrix& m) const { return packed_size(kernels_, m.cols, m.rows / m.parts); }

const Weights::Matrix& Weights::matrix(std::size_t offset) const {
  const auto found = std::lower_bound(matrices_.begin(), matrices_.end(), offset,
                                      [](const Matrix& m, std::size_t at) { return m.offset < at; });
  PRECEPT_CHECK(found != matrices_.end() && found->offset == offset);
  return *found;
}

}  // namespace precept::nn
