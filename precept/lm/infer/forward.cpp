#include "precept/lm/infer/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace precept::infer {
namespace {

constexpr int kChunkRows = 112;  // eight tiles of the widest product kernel; scratch stays in the cache
constexpr int kLogitRows = 56;

}  // namespace

Forward::Forward(const Weights& weights, const Rotary& rotary, const Processor& processor, Cache& cache)
    : weights_(weights),
      rotary_(rotary),
      kernels_(*processor.products),
      products_(*processor.products),
      adapters_(*processor.products),
      row_kernels_(*processor.rows),
      cache_(cache),
      shape_(weights.config) {
  const LlamaConfig& c = weights.config;
  queries_ = c.num_attention_heads * c.head_dim;
  keys_ = c.num_key_value_heads * c.head_dim;
  wide_ = queries_ + 2 * keys_;
  const auto rows = [](int count, int width) {
    return std::vector<float>(static_cast<std::size_t>(count) * static_cast<std::size_t>(width));
  };
  x_RC_ = rows(kChunkRows, c.hidden_size);
  h_RC_ = rows(kChunkRows, c.hidden_size);
  qkv_RW_ = rows(kChunkRows, wide_);
  attended_RQ_ = rows(kChunkRows, queries_);
  gate_up_R2F_ = rows(kChunkRows, 2 * c.intermediate_size);
  s_RF_ = rows(kChunkRows, c.intermediate_size);
  logits_RV_ = rows(kLogitRows, c.vocab_size);
  rstd_R_ = rows(kChunkRows, 1);
  head_rstd_ = rows(c.num_attention_heads, 1);
  key_at_R_.resize(kChunkRows);
}

void Forward::run(const std::vector<Segment>& segments, const OnLogits& on_logits) {
  std::vector<Piece> pieces;
  int rows = 0;
  for (int i = 0; i < static_cast<int>(segments.size()); ++i) {
    for (int from = 0; from < segments[i].rows;) {
      const int count = std::min(segments[i].rows - from, kChunkRows - rows);
      pieces.push_back({i, from, count});
      rows += count;
      from += count;
      if (rows == kChunkRows) {
        chunk(segments, pieces, rows, on_logits);
        pieces.clear();
        rows = 0;
      }
    }
  }
  if (rows > 0) chunk(segments, pieces, rows, on_logits);
}

void Forward::chunk(const std::vector<Segment>& segments, const std::vector<Piece>& pieces, int rows,
                    const OnLogits& on_logits) {
  const LlamaConfig& config = weights_.config;
  const int C = config.hidden_size, F = config.intermediate_size;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  const auto product = [&](std::size_t layer, nn::Product which, const std::vector<float>& a, const Matrix& matrix,
                           std::vector<float>& c, bool add) {
    products_.times(rows, a.data(), matrix, c.data(), add);
    adapters_.add(adapter_rows_, layer, which, a.data(), static_cast<std::size_t>(matrix.cols), c.data(),
                  static_cast<std::size_t>(matrix.rows));
  };
  find_adapters(segments, pieces);
  embed(segments, pieces);
  place_keys(segments, pieces);
  for (std::size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    const Weights::Layer& w = weights_.layers[layer];
    kernels_.rmsnorm(rows, C, x_RC_.data(), w.input_norm.data(), eps, h_RC_.data(), rstd_R_.data());
    product(layer, nn::Product::kQkv, h_RC_, w.qkv, qkv_RW_, false);
    add_bias(rows, w.qkv_bias, qkv_RW_);
    if (config.qk_norm) norm_heads(rows, w);
    attention(segments, pieces, layer);
    product(layer, nn::Product::kOut, attended_RQ_, w.out, x_RC_, true);
    add_bias(rows, w.out_bias, x_RC_);
    kernels_.rmsnorm(rows, C, x_RC_.data(), w.post_norm.data(), eps, h_RC_.data(), rstd_R_.data());
    product(layer, nn::Product::kGateUp, h_RC_, w.gate_up, gate_up_R2F_, false);
    kernels_.swiglu(rows, F, gate_up_R2F_.data(), s_RF_.data());
    product(layer, nn::Product::kDown, s_RF_, w.down, x_RC_, true);
  }
  logits(segments, pieces, on_logits);
}

void Forward::find_adapters(const std::vector<Segment>& segments, const std::vector<Piece>& pieces) {
  adapter_rows_.clear();
  int row = 0;
  for (const Piece& piece : pieces) {
    const Adapter* adapter = segments[piece.segment].adapter;
    if (adapter_rows_.empty() || adapter_rows_.back().adapter != adapter) adapter_rows_.push_back({adapter, row, 0});
    adapter_rows_.back().rows += piece.rows;
    row += piece.rows;
  }
}

void Forward::add_bias(int rows, const std::vector<float>& bias, std::vector<float>& values) const {
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
    float* row = values.data() + r * bias.size();
    for (std::size_t i = 0; i < bias.size(); ++i) row[i] += bias[i];
  }
}

// Every head of q and k on its own (Qwen3).
void Forward::norm_heads(int rows, const Weights::Layer& w) {
  const LlamaConfig& config = weights_.config;
  const int H = config.num_attention_heads, G = config.num_key_value_heads, D = config.head_dim;
  const auto eps = static_cast<float>(config.rms_norm_eps);
  for (int r = 0; r < rows; ++r) {
    float* q = qkv_RW_.data() + static_cast<std::size_t>(r) * wide_;
    float* k = q + queries_;
    kernels_.rmsnorm(H, D, q, w.q_norm.data(), eps, q, head_rstd_.data());
    kernels_.rmsnorm(G, D, k, w.k_norm.data(), eps, k, head_rstd_.data());
  }
}

void Forward::embed(const std::vector<Segment>& segments, const std::vector<Piece>& pieces) {
  const auto C = static_cast<std::size_t>(weights_.config.hidden_size);
  float* x = x_RC_.data();
  for (const Piece& piece : pieces) {
    const std::int32_t* tokens = segments[piece.segment].tokens + piece.from;
    for (int r = 0; r < piece.rows; ++r, x += C) weights_.embed.row(tokens[r], x);
  }
}

void Forward::place_keys(const std::vector<Segment>& segments, const std::vector<Piece>& pieces) {
  const auto D = static_cast<std::size_t>(weights_.config.head_dim);
  if (value_at_.size() < pieces.size()) value_at_.resize(pieces.size());
  std::size_t row = 0;
  for (std::size_t p = 0; p < pieces.size(); ++p) {
    const Segment& segment = segments[pieces[p].segment];
    const int first = segment.first + pieces[p].from;
    const int end = first + pieces[p].rows;
    std::vector<std::size_t>& value_at = value_at_[p];
    value_at.resize(static_cast<std::size_t>(end));
    int at = 0;
    for (const Span* span = segment.spans; at < end; ++span) {
      const std::size_t base = span->block * shape_.block;
      for (int slot = 0; slot < span->count && at < end; ++slot, ++at) {
        value_at[at] = base + shape_.keys + static_cast<std::size_t>(slot) * D;
        if (at >= first) key_at_R_[row++] = base + static_cast<std::size_t>(slot);
      }
    }
    const std::size_t scratch = attention_scratch(static_cast<std::size_t>(end));
    if (scores_.size() < scratch) scores_.resize(scratch);
  }
}

void Forward::attention(const std::vector<Segment>& segments, const std::vector<Piece>& pieces,
                        std::size_t layer) {
  const LlamaConfig& config = weights_.config;
  const int H = config.num_attention_heads, G = config.num_key_value_heads, D = config.head_dim;
  float* base = cache_.data() + layer * shape_.layer;
  std::size_t row = 0;
  for (std::size_t p = 0; p < pieces.size(); ++p) {
    const Segment& segment = segments[pieces[p].segment];
    const int first = segment.first + pieces[p].from;
    float* const queries = qkv_RW_.data() + row * wide_;
    for (int r = 0; r < pieces[p].rows; ++r) {
      float* q = queries + r * static_cast<std::size_t>(wide_);
      const std::size_t angle = static_cast<std::size_t>(first + r) * (D / 2);
      row_kernels_.rotate(H + G, D, rotary_.cosines.data() + angle, rotary_.sines.data() + angle, q);
      float* key = base + key_at_R_[row + r];
      const float* k = q + queries_;
      for (int i = 0; i < keys_; ++i) key[i * kBlockTokens] = k[i];
      float* value = base + value_at_[p][first + r];
      const float* v = k + keys_;
      for (int g = 0; g < G; ++g) {
        std::memcpy(value + static_cast<std::size_t>(g) * D * kBlockTokens, v + g * D, D * sizeof(float));
      }
    }
    Attention a;
    a.heads = H;
    a.kv_heads = G;
    a.head_dim = D;
    a.scale = 1.0F / std::sqrt(static_cast<float>(D));
    a.keys = base;
    a.block_stride = shape_.block;
    a.spans = segment.spans;
    a.value_at = value_at_[p].data();
    a.rows = pieces[p].rows;
    a.seen = first + 1;
    a.window = config.window(static_cast<int>(layer));
    a.q = queries;
    a.q_stride = static_cast<std::size_t>(wide_);
    a.out = attended_RQ_.data() + row * queries_;
    a.out_stride = static_cast<std::size_t>(queries_);
    a.scratch = scores_.data();
    row_kernels_.attend(a);
    row += static_cast<std::size_t>(pieces[p].rows);
  }
}

void Forward::logits(const std::vector<Segment>& segments, const std::vector<Piece>& pieces,
                     const OnLogits& on_logits) {
  const LlamaConfig& config = weights_.config;
  const int C = config.hidden_size, V = config.vocab_size;
  struct Wanted {
    int segment, row, at;  // `at`: row of the chunk
  };
  std::vector<Wanted> wanted;
  int start = 0;
  for (const Piece& piece : pieces) {
    for (const int row : segments[piece.segment].wanted) {
      if (row >= piece.from && row < piece.from + piece.rows) {
        wanted.push_back({piece.segment, row, start + row - piece.from});
      }
    }
    start += piece.rows;
  }
  for (std::size_t from = 0; from < wanted.size(); from += kLogitRows) {
    const int count = std::min(kLogitRows, static_cast<int>(wanted.size() - from));
    for (int i = 0; i < count; ++i) {
      kernels_.rmsnorm(1, C, x_RC_.data() + static_cast<std::size_t>(wanted[from + i].at) * C, weights_.norm.data(),
                        static_cast<float>(config.rms_norm_eps), h_RC_.data() + static_cast<std::size_t>(i) * C,
                        rstd_R_.data());
    }
    products_.times(count, h_RC_.data(), weights_.head, logits_RV_.data(), false);
    for (int i = 0; i < count; ++i) {
      on_logits(wanted[from + i].segment, wanted[from + i].row,
                logits_RV_.data() + static_cast<std::size_t>(i) * V);
    }
  }
}

}  // namespace precept::infer
