#include "precept/lm/infer/cpu_backend.h"

#include <algorithm>
#include <cmath>

#include "precept/core/result.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;

constexpr int kMaxRows = 512;    // of a step
constexpr int kLogitRows = 64;   // rows of logits in flight
constexpr int kOwnRows = 4;      // that every thread norms for itself
constexpr int kTogether = 64;    // blocks of a chunk of the cache, at most

// Lanes between rows of factors: whole cache lines, and not a multiple of a page's worth of them, or the rows of a tile
// would evict each other.
std::size_t stride_of(const nn::RowKernels& kernels, int n) {
  const std::size_t lines = (nn::row_lanes(kernels, static_cast<std::size_t>(n)) + 15) / 16;
  return (lines | 1) * 16;
}

std::size_t times(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

std::int64_t blocks_of(const nn::KvShape& shape, std::int64_t bytes) {
  return std::max<std::int64_t>(1, bytes / static_cast<std::int64_t>(shape.block_lanes() * sizeof(nn::Lane)));
}

// Long chunks, but not so long that what is left over of the last one, which is not used, matters.
nn::KvShape cache_shape(const Weights& weights, std::int64_t bytes) {
  const LlamaConfig& c = weights.config;
  const auto shape = [&](int together) { return nn::KvShape(weights.precision, c.num_hidden_layers, c.num_key_value_heads, c.head_dim, together); };
  const std::int64_t blocks = blocks_of(shape(1), bytes);
  int together = 1;
  while (together < kTogether && 16 * together <= blocks) together *= 2;
  return shape(together);
}

}  // namespace

const nn::Kernels& low_rank_kernels(nn::Precision precision) { return nn::kernels(precision == nn::Precision::kBf16); }

CpuBackend::Lane::Lane(const nn::RowKernels& kernels, const nn::Kernels& low_rank)
    : products(kernels), adapters(low_rank), sampler(kernels), scores(nn::kAttentionScratch) {}

CpuBackend::CpuBackend(Weights weights, int threads, std::int64_t cache_bytes, int choices)
    : weights_(std::move(weights)),
      kernels_(nn::row_kernels(weights_.precision)),
      plain_(nn::kernels()),
      low_rank_(low_rank_kernels(weights_.precision)),
      kv_(cache_shape(weights_, cache_bytes)),
      choices_(choices),
      team_(threads),
      done_(static_cast<std::size_t>(kSharedTasks) * static_cast<std::size_t>(team_.threads())) {
  const LlamaConfig& c = weights_.config;
  queries_ = c.num_attention_heads * c.head_dim;
  keys_ = c.num_key_value_heads * c.head_dim;
  wide_ = queries_ + 2 * keys_;
  h_stride_ = stride_of(kernels_, c.hidden_size);
  q_stride_ = stride_of(kernels_, queries_);
  s_stride_ = stride_of(kernels_, c.intermediate_size);
  blocks_ = blocks_of(kv_, cache_bytes) / kv_.together() * kv_.together();
  // Costs nothing until a block is used; then a large page at a time. Vectors that crossed lines would take two of them.
  memory_ = nn::uninitialised<nn::Lane>(static_cast<std::size_t>(blocks_) * kv_.block_lanes());
  rotary_ = Rotary(c, static_cast<int>(std::min<std::int64_t>(c.max_position_embeddings, blocks_ * kBlockTokens)));
  taken_ = std::make_unique<std::atomic<int>[]>(weights_.layers.size());
  dealt_ = std::make_unique<std::atomic<int>[]>(weights_.layers.size() * kDealt + 1);
  for (int i = 0; i < team_.threads(); ++i) lanes_.push_back(std::make_unique<Lane>(kernels_, low_rank_));
}

CpuBackend::~CpuBackend() = default;

void CpuBackend::claim_cache() {
  const std::size_t lanes = static_cast<std::size_t>(blocks_) * kv_.block_lanes(), threads = static_cast<std::size_t>(team_.threads());
  team_.run([&](int thread) {
    const std::size_t own = static_cast<std::size_t>(thread);
    std::fill(memory_.get() + lanes * own / threads, memory_.get() + lanes * (own + 1) / threads, nn::Lane{0});
  });
}

int CpuBackend::max_rows() const { return kMaxRows; }

std::int64_t CpuBackend::scratch_bytes(const LlamaConfig& c, nn::Precision precision, int threads, bool adapted) {
  const nn::RowKernels& kernels = nn::row_kernels(precision);
  const int queries = c.num_attention_heads * c.head_dim, wide = queries + 2 * c.num_key_value_heads * c.head_dim;
  const int widest = std::max({c.hidden_size, queries, c.intermediate_size});
  // Adapters need gate and up of all columns at once, and a product's rows as floats, with as many again for their ranks.
  const int of_adapters = adapted ? 2 * c.intermediate_size + 2 * widest : 0;
  const std::size_t row = static_cast<std::size_t>(c.hidden_size + wide + of_adapters) + stride_of(kernels, c.hidden_size) +
                          2 * stride_of(kernels, queries) + stride_of(kernels, c.intermediate_size);
  const std::size_t attention = nn::kAttentionScratch + (1 + kSharedTasks) * nn::attention_parts(c.max_position_embeddings, c.head_dim);
  const std::size_t attended = times(queries, kTaskRows / c.num_key_value_heads + 1 + kSharedTasks);
  const std::size_t gate_up = times(std::max(2 * kMaxRows, kMostPanels * nn::kMostRowsTogether), 3 * nn::kPanel);
  const std::size_t own = kOwnRows * stride_of(kernels, c.hidden_size) + stride_of(kernels, queries) +
                          static_cast<std::size_t>(widest);
  const std::size_t sampled = times(2, c.vocab_size);  // weights of all tokens, and their order
  const std::size_t lane = attention + attended + gate_up + own + sampled;
  return static_cast<std::int64_t>(sizeof(float) * (row * kMaxRows + times(kLogitRows, c.vocab_size) + lane * static_cast<std::size_t>(threads)));
}

void CpuBackend::copy_block(std::uint32_t from, std::uint32_t to) {
  kv_.copy_block(memory_.get(), from, to);
}

void CpuBackend::lay_out(const std::vector<Segment>& segments) {
  const LlamaConfig& c = weights_.config;
  row_R_.clear();
  start_.clear();
  adapter_rows_.clear();
  tasks_.clear();
  adapted_ = false;
  longest_ = 0;
  for (int i = 0; i < static_cast<int>(segments.size()); ++i) {
    const Segment& s = segments[static_cast<std::size_t>(i)];
    const int start = static_cast<int>(row_R_.size());
    start_.push_back(start);
    for (int r = 0; r < s.rows; ++r) row_R_.push_back({s.tokens[r], s.first + r, s.blocks[(s.first + r) / kBlockTokens]});
    if (adapter_rows_.empty() || adapter_rows_.back().adapter != s.adapter) adapter_rows_.push_back({s.adapter, start, 0});
    adapter_rows_.back().rows += s.rows;
    adapted_ = adapted_ || s.adapter != nullptr;
    for (int from = 0; from < s.rows; from += kTaskRows) {
      const int rows = std::min(kTaskRows, s.rows - from);
      for (int g = 0; g < c.num_key_value_heads; ++g) tasks_.push_back({i, from, rows, start + from, g});
    }
    longest_ = std::max(longest_, s.first + s.rows);
  }
  rows_ = static_cast<int>(row_R_.size());
  PRECEPT_CHECK(rows_ <= kMaxRows);
  // The longest first, so that no thread is left with one at the end.
  std::stable_sort(tasks_.begin(), tasks_.end(), [&](const Task& a, const Task& b) {
    const auto cost = [&](const Task& t) { return std::int64_t{t.rows} * (segments[static_cast<std::size_t>(t.segment)].first + t.from + t.rows); };
    return cost(a) > cost(b);
  });
  for (std::size_t i = 0; i <= weights_.layers.size() * kDealt; ++i) dealt_[i].store(team_.threads(), std::memory_order_relaxed);
  const bool out_bias = !weights_.layers[0].out_bias.empty();
  few_ = rows_ <= kLogitRows;
  own_norms_ = rows_ <= kOwnRows && !adapted_ && !out_bias;
  shared_attention_ = shares_attention();
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) taken_[i].store(shared_attention_ ? team_.threads() : 0, std::memory_order_relaxed);
  fused_heads_ = rows_ <= kTaskRows && !adapted_ && !shared_attention_;  // then a segment's rows are one task of each kv head

  const auto grow = [&](auto& v, std::size_t n) {
    if (v.size() < n) v.resize(n);
  };
  const auto R = static_cast<std::size_t>(rows_);
  grow(x_RC_, R * static_cast<std::size_t>(c.hidden_size));
  grow(qkv_RW_, R * static_cast<std::size_t>(wide_));
  grow(h_RL_, std::max<std::size_t>(R, kLogitRows) * h_stride_);
  grow(q_RL_, R * q_stride_);
  grow(attended_RL_, R * q_stride_);
  grow(s_RL_, R * s_stride_);
  if (adapted_) grow(gate_up_R2F_, R * 2 * static_cast<std::size_t>(c.intermediate_size));
  const std::size_t parts = nn::attention_parts(longest_, c.head_dim);
  if (shared_attention_) {
    grow(parts_, tasks_.size() * parts);
    grow(attended_, R * static_cast<std::size_t>(queries_));
  }
  const Together together = gate_up_together();
  const std::size_t gate_up = times(together.rows, together.panels);
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    grow(lane->parts, parts);
    grow(lane->gate_up, gate_up * 2 * nn::kPanel);
    grow(lane->swiglu, gate_up * nn::kPanel);
    if (own_norms_) grow(lane->h, R * h_stride_);
    if (shared_attention_) grow(lane->q, q_stride_);
    grow(lane->attended, times(kTaskRows, queries_ / c.num_key_value_heads));
    grow(lane->rstd, std::max<std::size_t>(1, static_cast<std::size_t>(c.num_attention_heads)));
    grow(lane->wide, static_cast<std::size_t>(std::max({c.hidden_size, queries_, c.intermediate_size})));
  }
}

std::vector<Outcome> CpuBackend::run(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted) {
  std::vector<Outcome> outcomes(wanted.size());
  segments_ = &segments;
  wanted_ = &wanted;
  outcomes_ = &outcomes;
  lay_out(segments);
  const std::size_t logits = times(std::min(kLogitRows, static_cast<int>(wanted.size())), weights_.config.vocab_size);
  if (logits_.size() < logits) logits_.resize(logits);
  team_.run([this](int thread) { work(thread); });
  return outcomes;
}

// Columns of a product that a thread computes together, in panels. Few rows: enough pieces that all threads are done at
// about the same time, each long enough that memory follows. Many rows: one piece each, so that rows stay in the cache.
int CpuBackend::piece(int panels) const {
  const int threads = team_.threads();
  if (!few_) return std::max(1, (panels + threads - 1) / threads);
  return std::clamp(panels / (threads * 6), 1, kMostPanels);
}

Pieces CpuBackend::pieces(std::size_t which, int panels, int thread) { return {dealt_[which], panels, piece(panels), thread}; }

const nn::Lane* CpuBackend::first_panel(const Matrix& matrix, int thread) const { return matrix.panel(piece(matrix.panels()) * thread); }

// `next` is what this thread reads after this matrix: its first panel of another one, or as much memory.
void CpuBackend::product(Lane& lane, int thread, int rows, const nn::Lane* a, std::size_t lda, const Matrix& matrix, std::size_t which, float* c,
                         bool add, const nn::Lane* next) {
  for (Pieces p = pieces(which, matrix.panels(), thread); p; ++p) {
    const nn::Lane* after = p.next() < matrix.panels() ? matrix.panel(p.next()) : next;
    lane.products.times(rows, a, lda, matrix, p.begin(), p.end(), c, static_cast<std::size_t>(matrix.rows), add, after);
  }
}

void CpuBackend::adapt(Lane& lane, Share rows, std::size_t layer, nn::Product product, const nn::Lane* x, std::size_t lda, int in,
                       float* y, int out) {
  if (!adapted_) return;
  for (const AdapterRows& run : adapter_rows_) {
    const int begin = std::max(run.from, rows.begin), end = std::min(run.from + run.rows, rows.end);
    if (run.adapter == nullptr || begin >= end) continue;
    lane.adapters.add(*run.adapter, layer, product, kernels_, end - begin, x + static_cast<std::size_t>(begin) * lda, lda, in,
                      y + times(begin, out), static_cast<std::size_t>(out));
  }
}

// Factors of the normed rows, h_stride_ apart: this thread's share of them, which all see after the next barrier, or its own
// copy of all.
const nn::Lane* CpuBackend::normed(Lane& lane, int thread, Weights::Vector weight) {
  const int C = weights_.config.hidden_size;
  const auto eps = static_cast<float>(weights_.config.rms_norm_eps);
  const Share rows = own_norms_ ? Share(rows_, 0, 1) : Share(rows_, thread, team_.threads());
  nn::Lane* h = own_norms_ ? lane.h.data() : h_RL_.data();
  for (int r = rows.begin; r < rows.end; ++r) {
    plain_.rmsnorm(1, C, x_RC_.data() + times(r, C), weight.data(), eps, lane.wide.data(), lane.rstd.data());
    kernels_.row_factors(C, lane.wide.data(), h + static_cast<std::size_t>(r) * h_stride_);
  }
  if (!own_norms_) team_.barrier();
  return h;
}

// As many as the cache holds: some rows and many columns where matrices are packed (all are, or none), else all rows, for which columns
// are packed once.
CpuBackend::Together CpuBackend::gate_up_together() const {
  if (few_) return {rows_, kMostPanels};
  return weights_.layers[0].gate.packed.empty() ? Together{rows_, 2} : Together{std::min(rows_, kernels_.rows_together), kMostPanels};
}

// Gate and up of the same columns are computed by one thread, which goes on to their SwiGLU while they are at hand; with
// adapters all columns must be there first.
void CpuBackend::feed_forward(Lane& lane, int thread, std::size_t layer, const nn::Lane* h) {
  const Weights::Layer& w = weights_.layers[layer];
  const int F = weights_.config.intermediate_size, P = nn::kPanel;
  Pieces p = pieces(layer * kDealt + kFeedForward, w.gate.panels(), thread);
  if (adapted_) {
    const auto ld = static_cast<std::size_t>(2 * F);
    for (; p; ++p) {
      lane.products.times(rows_, h, h_stride_, w.gate, p.begin(), p.end(), gate_up_R2F_.data(), ld, false, w.up.panel(p.begin()));
      lane.products.times(rows_, h, h_stride_, w.up, p.begin(), p.end(), gate_up_R2F_.data() + F, ld, false, w.gate.panel(p.next()));
    }
    team_.barrier();
    const Share rows(rows_, thread, team_.threads());
    adapt(lane, rows, layer, nn::Product::kGateUp, h, h_stride_, weights_.config.hidden_size, gate_up_R2F_.data(), 2 * F);
    for (int r = rows.begin; r < rows.end; ++r) {
      plain_.swiglu(1, F, gate_up_R2F_.data() + times(r, 2 * F), lane.wide.data());
      kernels_.row_factors(F, lane.wide.data(), s_RL_.data() + static_cast<std::size_t>(r) * s_stride_);
    }
    return;
  }
  const Together together = gate_up_together();
  for (; p; ++p) {
    for (int first = 0; first < rows_; first += together.rows) {
      const int rows = std::min(together.rows, rows_ - first);
      const nn::Lane* a = h + static_cast<std::size_t>(first) * h_stride_;
      for (int from = p.begin(); from < p.end(); from += together.panels) {
        const int to = std::min(from + together.panels, p.end()), f = (to - from) * P, width = std::min(f, F - from * P);
        float* gate = lane.gate_up.data();
        const auto ld = static_cast<std::size_t>(2 * f);
        const int then = to < p.end() ? to : first + rows < rows_ ? p.begin() : p.next();  // the next columns, rows or piece
        const nn::Lane* after = then < w.gate.panels() ? w.gate.panel(then) : first_panel(w.down, thread);
        lane.products.times(rows, a, h_stride_, w.gate, from, to, gate - from * P, ld, false, w.up.panel(from));
        lane.products.times(rows, a, h_stride_, w.up, from, to, gate + f - from * P, ld, false, after);
        plain_.swiglu(rows, f, gate, lane.swiglu.data());
        nn::Lane* s = s_RL_.data() + static_cast<std::size_t>(first) * s_stride_ + nn::row_lanes(kernels_, static_cast<std::size_t>(from * P));
        for (int r = 0; r < rows; ++r) kernels_.row_factors(width, lane.swiglu.data() + times(r, f), s + static_cast<std::size_t>(r) * s_stride_);
      }
    }
  }
}

void CpuBackend::work(int thread) {
  const LlamaConfig& c = weights_.config;
  Lane& lane = *lanes_[static_cast<std::size_t>(thread)];
  const Share rows(rows_, thread, team_.threads());
  const int C = c.hidden_size;
  for (int r = rows.begin; r < rows.end; ++r) weights_.embedding(row_R_[static_cast<std::size_t>(r)].token, x_RC_.data() + times(r, C));
  if (own_norms_) team_.barrier();
  for (std::size_t l = 0; l < weights_.layers.size(); ++l) {
    const Weights::Layer& w = weights_.layers[l];
    const std::size_t dealt = l * kDealt;
    const nn::Lane* h = normed(lane, thread, w.input_norm);
    product(lane, thread, rows_, h, h_stride_, w.qkv, dealt + kQkv, qkv_RW_.data(), false,
            shared_attention_ ? part_keys(thread, l) : first_panel(w.out, thread));
    team_.barrier();
    adapt(lane, rows, l, nn::Product::kQkv, h, h_stride_, C, qkv_RW_.data(), wide_);
    if (shared_attention_) {
      if (adapted_) team_.barrier();
    } else if (!fused_heads_) {
      const int G = c.num_key_value_heads;
      const Share any(rows_ * G, thread, team_.threads());  // with adapters: of rows that this thread has just adapted
      const int begin = adapted_ ? rows.begin * G : any.begin, end = adapted_ ? rows.end * G : any.end;
      for (int i = begin; i < end; ++i) {
        queries(lane, i / G, i % G, l, q_RL_.data() + head_of(i / G, i % G));
        remember(lane, i / G, i % G, l);
      }
      team_.barrier();
    }
    shared_attention_ ? attend_together(lane, thread, l) : attend(lane, l);
    team_.barrier();
    product(lane, thread, rows_, attended_RL_.data(), q_stride_, w.out, dealt + kOut, x_RC_.data(), true, first_panel(w.gate, thread));
    team_.barrier();
    adapt(lane, rows, l, nn::Product::kOut, attended_RL_.data(), q_stride_, queries_, x_RC_.data(), C);
    for (int r = rows.begin; r < rows.end && !w.out_bias.empty(); ++r) {
      for (int i = 0; i < C; ++i) x_RC_[times(r, C) + static_cast<std::size_t>(i)] += w.out_bias[static_cast<std::size_t>(i)];
    }
    h = normed(lane, thread, w.post_norm);
    feed_forward(lane, thread, l, h);
    team_.barrier();
    product(lane, thread, rows_, s_RL_.data(), s_stride_, w.down, dealt + kDown, x_RC_.data(), true,
            first_panel(l + 1 < weights_.layers.size() ? weights_.layers[l + 1].qkv : weights_.head, thread));
    team_.barrier();
    adapt(lane, rows, l, nn::Product::kDown, s_RL_.data(), s_stride_, c.intermediate_size, x_RC_.data(), C);
  }
  team_.barrier();
  answer(thread);
}

// The head's products for wanted rows, some at a time, and what is wanted of them.
void CpuBackend::answer(int thread) {
  const LlamaConfig& c = weights_.config;
  Lane& lane = *lanes_[static_cast<std::size_t>(thread)];
  const int C = c.hidden_size, count = static_cast<int>(wanted_->size());
  const auto eps = static_cast<float>(c.rms_norm_eps);
  for (int from = 0; from < count; from += kLogitRows) {
    const int some = std::min(kLogitRows, count - from);
    const Share mine(some, thread, team_.threads());
    for (int i = mine.begin; i < mine.end; ++i) {
      const Wanted& wanted = (*wanted_)[static_cast<std::size_t>(from + i)];
      const int row = start_[static_cast<std::size_t>(wanted.segment)] + wanted.row;
      plain_.rmsnorm(1, C, x_RC_.data() + times(row, C), weights_.norm.data(), eps, lane.wide.data(), lane.rstd.data());
      kernels_.row_factors(C, lane.wide.data(), h_RL_.data() + static_cast<std::size_t>(i) * h_stride_);
    }
    team_.barrier();
    product(lane, thread, some, h_RL_.data(), h_stride_, weights_.head, weights_.layers.size() * kDealt, logits_.data(), false,
            first_panel(weights_.layers[0].qkv, thread));
    team_.barrier();
    if (thread == 0) dealt_[weights_.layers.size() * kDealt].store(team_.threads(), std::memory_order_relaxed);  // for the next ones
    for (int i = mine.begin; i < mine.end; ++i) {
      const auto at = static_cast<std::size_t>(from + i);
      answer_one(lane, (*wanted_)[at], logits_.data() + times(i, c.vocab_size), (*outcomes_)[at]);
    }
    team_.barrier();  // nobody overwrites logits that are still read
  }
}

void CpuBackend::answer_one(Lane& lane, const Wanted& wanted, float* logits, Outcome& outcome) const {
  const std::optional<LogSoftmax> softmax = log_softmax(kernels_, weights_.config.vocab_size, logits);
  outcome.finite = softmax.has_value();
  if (!softmax) return;
  if (wanted.sampling != nullptr) {
    outcome.picked = lane.sampler.pick(logits, choices_, *wanted.sampling, wanted.uniform);
    outcome.logprob = static_cast<float>(softmax->of(logits[outcome.picked]));
    return;
  }
  outcome.logprobs.reserve(static_cast<std::size_t>(wanted.count));
  for (int i = 0; i < wanted.count; ++i) outcome.logprobs.push_back(softmax->of(logits[wanted.targets[i]]));
}

}  // namespace precept::infer
