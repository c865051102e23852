#include "precept/lm/torch/decoder.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include <torch/version.h>

#include "precept/core/parallel.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;

constexpr std::int64_t kStageBytes = std::int64_t{64} << 20;  // of pinned memory for one part of a matrix

at::Tensor host(at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  return at::empty(shape, at::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
}

// The rows of some matrices, one under the other, rounded as the CPU's engine rounds them. Pinned memory is reused only when
// its copy is done: the allocator sees to that.
at::Tensor upload(std::initializer_list<const Matrix*> parts, nn::Precision precision, at::ScalarType type, at::Device device) {
  const nn::RowKernels& kernels = nn::row_kernels(precision);
  const std::int64_t cols = (*parts.begin())->cols;
  const auto lanes = static_cast<std::int64_t>(nn::lanes_of(precision, static_cast<std::size_t>(cols)));
  std::int64_t rows = 0;
  for (const Matrix* part : parts) rows += part->rows;
  const at::Tensor all = at::empty({rows, cols}, at::TensorOptions().dtype(type).device(device));
  const std::int64_t most = std::max<std::int64_t>(1, kStageBytes / (lanes * std::int64_t{sizeof(nn::Lane)}));
  std::int64_t at = 0;
  for (const Matrix* part : parts) {
    for (std::int64_t from = 0; from < part->rows; from += most) {
      const std::int64_t some = std::min(most, part->rows - from);
      const at::Tensor stage = host({some, lanes * std::int64_t{sizeof(nn::Lane)} / static_cast<std::int64_t>(c10::elementSize(type))}, type, device);
      auto* to = static_cast<nn::Lane*>(stage.data_ptr());
      in_parallel(static_cast<std::size_t>(some), [&](std::size_t r) {
        part->factors(static_cast<int>(from) + static_cast<int>(r), kernels, to + static_cast<std::int64_t>(r) * lanes);
      });
      all.narrow(0, at, some).copy_(stage.narrow(1, 0, cols), true);
      at += some;
    }
  }
  return all;
}

at::Tensor upload(const float* values, at::IntArrayRef shape, at::ScalarType type, at::Device device) {
  const at::Tensor stage = host(shape, at::kFloat, device);
  std::copy(values, values + stage.numel(), stage.data_ptr<float>());
  return stage.to(at::TensorOptions().dtype(type).device(device), true);
}

at::Tensor upload(Weights::Vector values, at::Device device) {
  if (values.empty()) return {};
  return upload(values.data(), {static_cast<std::int64_t>(values.size())}, at::kFloat, device);
}

// q [S, G, M T, D], keys and values [S, G, L, D], mask [S, 1, M T or 1, L]: true where a key is seen.
at::Tensor attend(const at::Tensor& q, const at::Tensor& keys, const at::Tensor& values, const at::Tensor& mask) {
#if TORCH_VERSION_MAJOR >= 2
  return at::scaled_dot_product_attention(q, keys, values, mask);
#else
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(-1)));
  at::Tensor scores = at::matmul(q.to(at::kFloat), keys.to(at::kFloat).transpose(-1, -2)).mul_(scale);
  scores.masked_fill_(mask.logical_not(), -INFINITY);
  return at::matmul(scores.softmax(-1), values.to(at::kFloat)).to(q.scalar_type());
#endif
}

}  // namespace

Decoder::Decoder(const Weights& weights, at::Device device, std::int64_t blocks)
    : config_(weights.config), device_(device), type_(weights.precision == nn::Precision::kBf16 ? at::kBFloat16 : at::kFloat) {
  const LlamaConfig& c = config_;
  const auto matrix = [&](std::initializer_list<const Matrix*> parts) { return upload(parts, weights.precision, type_, device); };
  embed_VC_ = matrix({&weights.embed});
  head_VC_ = c.tie_word_embeddings ? embed_VC_ : matrix({&weights.head});
  norm_ = upload(weights.norm, device);
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    const Weights::Layer& w = weights.layers[static_cast<std::size_t>(l)];
    layers_.push_back({upload(w.input_norm, device), upload(w.post_norm, device), matrix({&w.qkv}), matrix({&w.out}), matrix({&w.gate, &w.up}),
                       matrix({&w.down}), upload(w.qkv_bias, device), upload(w.out_bias, device), upload(w.q_norm, device),
                       upload(w.k_norm, device), kind(c.window(l))});
  }
  make_cache(blocks);
}

Decoder::Decoder(const on_device::TrainWeights& w, at::Device device, std::int64_t blocks) : config_(w.layout.config), device_(device), type_(w.type) {
  const LlamaConfig& c = config_;
  const std::int64_t C = c.hidden_size, F = c.intermediate_size, X = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t W = X + 2 * std::int64_t{c.num_key_value_heads} * c.head_dim;
  embed_VC_ = w.matrix(w.layout.embed, c.vocab_size, C);
  head_VC_ = w.head_rows();
  norm_ = w.vector(w.layout.norm);
  for (int l = 0; l < c.num_hidden_layers; ++l) {
    const nn::Layout::Layer& at = w.layout.layers[static_cast<std::size_t>(l)];
    const auto vector = [&](bool there, std::size_t offset) { return there ? w.vector(offset) : at::Tensor(); };
    layers_.push_back({w.vector(at.input_norm), w.vector(at.post_norm), w.matrix(at.qkv, W, C), w.matrix(at.out, C, X), w.matrix(at.gate_up, 2 * F, C),
                       w.matrix(at.down, C, F), vector(c.qkv_bias, at.qkv_bias), vector(c.out_bias, at.out_bias), vector(c.qk_norm, at.q_norm),
                       vector(c.qk_norm, at.k_norm), kind(c.window(l))});
  }
  if (w.lora) {
    Adapted& all = trained_.emplace(w.lora->products.size());
    for (std::size_t p = 0; p < all.size(); ++p) {
      for (const nn::LoraLayout::Module& m : w.lora->products[p]) {
        const auto part = [&](std::size_t offset, std::int64_t rows, std::int64_t cols) {
          return w.adapter_factors.narrow(0, static_cast<std::int64_t>(offset), rows * cols).view({rows, cols});
        };
        all[p].push_back({m.at, m.scale, part(m.a, m.rank, m.in), part(m.b, m.out, m.rank)});
      }
    }
  }
  make_cache(blocks);
}

int Decoder::kind(int window) {
  auto at = std::find(windows_.begin(), windows_.end(), window);
  if (at == windows_.end()) at = windows_.insert(windows_.end(), window);
  return static_cast<int>(at - windows_.begin());
}

void Decoder::make_cache(std::int64_t blocks) {
  const LlamaConfig& c = config_;
  const at::Device device = device_;
  const auto positions = static_cast<int>(std::min<std::int64_t>(c.max_position_embeddings, blocks * kBlockTokens));
  const Rotary rotary(c, positions);
  cosines_ = upload(rotary.cosines.data(), {positions, c.head_dim / 2}, at::kFloat, device);
  sines_ = upload(rotary.sines.data(), {positions, c.head_dim / 2}, at::kFloat, device);
  // Zeros: what is masked has weight 0, and 0 times what memory held before might not be 0.
  cache_ = at::zeros({c.num_hidden_layers, 2, blocks + 1, kBlockTokens, c.num_key_value_heads, c.head_dim},
                     at::TensorOptions().dtype(type_).device(device));
}

void Decoder::copy_block(std::int64_t from, std::int64_t to) { cache_.select(2, to).copy_(cache_.select(2, from)); }

void Decoder::clear(const at::Tensor& slots) {
  cache_.view({config_.num_hidden_layers, 2, -1, config_.num_key_value_heads * config_.head_dim}).index_fill_(2, slots, 0);
}

at::Tensor Decoder::normed(const at::Tensor& x, const at::Tensor& weight) const {
  return x * (x.square().mean(-1, true) + config_.rms_norm_eps).rsqrt_() * weight;
}

// heads [R, n, D] in fp32; cosines and sines [R, 1, D / 2].
at::Tensor Decoder::rotated(const at::Tensor& heads, const at::Tensor& cosines, const at::Tensor& sines) const {
  const std::int64_t half = config_.head_dim / 2;
  const at::Tensor first = heads.narrow(-1, 0, half), second = heads.narrow(-1, half, half);
  return at::cat({at::addcmul(first * cosines, second, sines, -1), at::addcmul(second * cosines, first, sines)}, -1);
}

std::vector<Decoder::Batch> Decoder::batches(const AttentionPlan& attention, int window, const at::Tensor& ints) const {
  const auto part = [&](std::size_t from, std::int64_t count) { return ints.narrow(0, static_cast<std::int64_t>(from), count); };
  const std::int64_t group = config_.num_attention_heads / config_.num_key_value_heads;
  std::vector<Batch> all;
  for (const AttentionBatch& b : attention.batches) {
    const std::int64_t S = b.count, T = b.rows, L = std::int64_t{b.blocks} * kBlockTokens;
    const at::Tensor query = part(b.first, S).view({S, 1, 1}) + at::arange(T, ints.options()).view({1, T, 1});
    const at::Tensor key = part(b.start, S).view({S, 1, 1}) + at::arange(L, ints.options()).view({1, 1, L});
    at::Tensor mask = key <= query;  // [S, T, L]
    if (window > 0) mask = mask.logical_and_(key > query - window);
    mask = mask.unsqueeze(1);
    // The rows of a group's heads are one after the other.
    if (T > 1) mask = mask.expand({S, group, T, L}).reshape({S, 1, group * T, L});
    all.push_back({&b, part(b.row_of, S * T), part(b.table, S * b.blocks), mask});
  }
  return all;
}

// Rows of queries to rows of what they attend to, both [R, Q]. Heads that share keys lie side by side, so that they are so
// many rows of one head's attention: keys and values are never repeated.
at::Tensor Decoder::attention(const at::Tensor& q_RQ, std::int64_t layer, const AttentionPlan& plan, const std::vector<Batch>& batches,
                              const at::Tensor& ints) const {
  const std::int64_t G = config_.num_key_value_heads, D = config_.head_dim, M = config_.num_attention_heads / G;
  const at::Tensor cached = cache_.select(0, layer);  // [2, blocks + 1, kBlockTokens, G, D]
  std::vector<at::Tensor> results;
  for (const Batch& batch : batches) {
    const std::int64_t S = batch.plan->count, T = batch.plan->rows, L = std::int64_t{batch.plan->blocks} * kBlockTokens;
    at::Tensor q = plan.in_order ? q_RQ : q_RQ.index_select(0, batch.row_of);
    q = q.view({S, T, G, M, D}).permute({0, 2, 3, 1, 4}).reshape({S, G, M * T, D});
    const auto gathered = [&](int which) { return cached.select(0, which).index_select(0, batch.table).view({S, L, G, D}).transpose(1, 2); };
    const at::Tensor mixed = attend(q, gathered(0), gathered(1), batch.mask);
    results.push_back(mixed.view({S, G, M, T, D}).permute({0, 3, 1, 2, 4}).reshape({S * T, G * M * D}));
  }
  if (plan.in_order) return results[0];
  const at::Tensor all = results.size() == 1 ? results[0] : at::cat(results);
  return all.index_select(0, ints.narrow(0, static_cast<std::int64_t>(plan.back), q_RQ.size(0)));
}

const Decoder::Adapted& Decoder::adapted(const Adapter& adapter) {
  if (trained_) return *trained_;
  const auto known = adapters_.find(&adapter);
  if (known != adapters_.end()) return known->second;
  Adapted all(adapter.layout.products.size());
  for (std::size_t p = 0; p < all.size(); ++p) {
    for (const nn::LoraLayout::Module& m : adapter.layout.products[p]) {
      const float* flat = adapter.weights.flat.data();
      all[p].push_back({m.at, m.scale, upload(flat + m.a, {m.rank, m.in}, type_, device_), upload(flat + m.b, {m.out, m.rank}, type_, device_)});
    }
  }
  return adapters_.emplace(&adapter, std::move(all)).first->second;
}

// y += s B (A x) of the rows with adapters; x in factors, y in fp32.
void Decoder::adapt(const StepPlan& plan, std::int64_t layer, nn::Product product, const at::Tensor& x, const at::Tensor& y) {
  for (const AdapterRun& run : plan.adapters) {
    const at::Tensor from = x.narrow(0, run.from, run.rows), to = y.narrow(0, run.from, run.rows);
    for (const LowRank& m : adapted(*run.adapter)[4 * static_cast<std::size_t>(layer) + static_cast<std::size_t>(product)]) {
      to.narrow(1, m.at, m.b.size(0)).add_(at::linear(at::linear(from, m.a), m.b), m.scale);
    }
  }
}

at::Tensor Decoder::forward(const StepPlan& plan, const at::Tensor& ints) {
  const std::int64_t R = plan.rows, H = config_.num_attention_heads, G = config_.num_key_value_heads, D = config_.head_dim;
  const std::int64_t F = config_.intermediate_size;
  const auto rows = [&](std::size_t from) { return ints.narrow(0, static_cast<std::int64_t>(from), R); };
  const at::Tensor slots = rows(plan.slots), positions = rows(plan.positions);
  const at::Tensor cosines = cosines_.index_select(0, positions).unsqueeze(1), sines = sines_.index_select(0, positions).unsqueeze(1);
  std::vector<std::vector<Batch>> kinds;
  for (std::size_t k = 0; k < windows_.size(); ++k) kinds.push_back(batches(plan.attention[k], windows_[k], ints));

  at::Tensor x = embed_VC_.index_select(0, rows(plan.tokens)).to(at::kFloat);
  for (std::int64_t l = 0; l < config_.num_hidden_layers; ++l) {
    const Layer& w = layers_[static_cast<std::size_t>(l)];
    const auto kind = static_cast<std::size_t>(w.kind);
    at::Tensor h = normed(x, w.input_norm).to(type_);
    at::Tensor qkv = at::linear(h, w.qkv).to(at::kFloat);
    adapt(plan, l, nn::Product::kQkv, h, qkv);
    if (w.qkv_bias.defined()) qkv.add_(w.qkv_bias);
    qkv = qkv.view({R, H + 2 * G, D});
    at::Tensor q = qkv.narrow(1, 0, H), k = qkv.narrow(1, H, G);
    at::Tensor both = qkv.narrow(1, 0, H + G);
    if (w.q_norm.defined()) both = at::cat({normed(q, w.q_norm), normed(k, w.k_norm)}, 1);  // every head on its own (Qwen3)
    both = rotated(both, cosines, sines).to(type_);
    const at::Tensor cached = cache_.select(0, l).view({2, -1, G, D});
    cached.select(0, 0).index_copy_(0, slots, both.narrow(1, H, G));
    cached.select(0, 1).index_copy_(0, slots, qkv.narrow(1, H + G, G).to(type_));
    h = attention(both.narrow(1, 0, H).reshape({R, H * D}), l, plan.attention[kind], kinds[kind], ints);
    x.add_(at::linear(h, w.out));
    adapt(plan, l, nn::Product::kOut, h, x);
    if (w.out_bias.defined()) x.add_(w.out_bias);

    h = normed(x, w.post_norm).to(type_);
    at::Tensor gate_up = at::linear(h, w.gate_up);
    if (!plan.adapters.empty()) {
      gate_up = gate_up.to(at::kFloat);
      adapt(plan, l, nn::Product::kGateUp, h, gate_up);
    }
    h = (at::silu(gate_up.narrow(1, 0, F)) * gate_up.narrow(1, F, F)).to(type_);
    x.add_(at::linear(h, w.down));
    adapt(plan, l, nn::Product::kDown, h, x);
  }
  return x;
}

at::Tensor Decoder::logits(const at::Tensor& x_RC, const at::Tensor& rows) const {
  return at::linear(normed(x_RC.index_select(0, rows), norm_).to(type_), head_VC_).to(at::kFloat);
}

}  // namespace precept::infer
