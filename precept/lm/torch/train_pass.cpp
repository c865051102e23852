#include "precept/lm/torch/train_pass.h"

#include <algorithm>
#include <numeric>

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include "precept/lm/infer/weights.h"

namespace precept::on_device {
namespace {

at::Tensor on(at::Device device, const std::vector<std::int64_t>& values) {
  const at::Tensor stage = at::empty({static_cast<std::int64_t>(values.size())}, at::TensorOptions().dtype(at::kLong).pinned_memory(device.is_cuda()));
  std::copy(values.begin(), values.end(), stage.data_ptr<std::int64_t>());
  return stage.to(device, true);
}

at::Tensor on(at::Device device, const float* values, at::IntArrayRef shape) {
  const at::Tensor stage = at::empty(shape, at::TensorOptions().dtype(at::kFloat).pinned_memory(device.is_cuda()));
  std::copy_n(values, stage.numel(), stage.data_ptr<float>());
  return stage.to(device, true);
}

at::Tensor leaf(const at::Tensor& values, bool trained) { return values.detach().requires_grad_(trained); }

}  // namespace

TrainWeights::TrainWeights(const nn::Layout& of, const nn::LoraLayout* with, std::size_t behind, at::ScalarType factor, at::Device device)
    : layout(of), lora(with), head(behind), type(factor) {
  const auto zeros = [&](std::size_t size, at::ScalarType t) { return at::zeros({static_cast<std::int64_t>(size)}, at::TensorOptions().dtype(t).device(device)); };
  factors = zeros(layout.size + (lora ? 0 : head), type);
  if (lora) {
    adapter = zeros(lora->size + head, at::kFloat);
    adapter_factors = type == at::kFloat ? adapter : zeros(lora->size + head, type);
  }
  const LlamaConfig& c = layout.config;
  const auto add = [&](bool there, std::size_t offset, int size) {
    if (there) vectors[offset] = zeros(static_cast<std::size_t>(size), at::kFloat);
  };
  for (const nn::Layout::Layer& l : layout.layers) {
    add(true, l.input_norm, c.hidden_size);
    add(true, l.post_norm, c.hidden_size);
    add(c.qkv_bias, l.qkv_bias, (c.num_attention_heads + 2 * c.num_key_value_heads) * c.head_dim);
    add(c.out_bias, l.out_bias, c.hidden_size);
    add(c.qk_norm, l.q_norm, c.head_dim);
    add(c.qk_norm, l.k_norm, c.head_dim);
  }
  add(true, layout.norm, c.hidden_size);
}

TrainWeights TrainWeights::base_of(const TrainWeights& adapted) {
  TrainWeights base = adapted;
  base.lora = nullptr;
  base.head = 0;
  base.adapter = base.adapter_factors = at::Tensor();
  return base;
}

void TrainWeights::refresh() {
  if (lora && type != at::kFloat) adapter_factors.copy_(adapter);
  if (lora) return;  // what is frozen does not change
  for (auto& [offset, values] : vectors) values.copy_(factors.narrow(0, static_cast<std::int64_t>(offset), values.numel()));
}

at::Tensor TrainWeights::value_head() const {
  const at::Tensor& flat = lora ? adapter : factors;
  return flat.narrow(0, flat.numel() - static_cast<std::int64_t>(head), static_cast<std::int64_t>(head)).to(at::kFloat);
}

TrainPass::TrainPass(const TrainWeights& weights, bool recompute)
    : w_(weights), config_(weights.layout.config), recompute_(recompute), most_logits_(std::int64_t{1} << (weights.factors.is_cuda() ? 28 : 22)),
      kept_(weights.layout.layers.size()) {
#if TORCH_VERSION_MAJOR < 2
  most_scores_ = std::int64_t{1} << 25;
#endif
}

void TrainPass::angles_up_to(std::int64_t n) {
  if (cosines_.defined() && cosines_.size(0) >= n) return;
  const infer::Rotary rotary(config_, static_cast<int>(n));
  cosines_ = on(w_.factors.device(), rotary.cosines.data(), {n, config_.head_dim / 2});
  sines_ = on(w_.factors.device(), rotary.sines.data(), {n, config_.head_dim / 2});
}

TrainRows TrainPass::lay_out(const std::vector<const TrainExample*>& sequences) {
  struct Place {
    std::int64_t begin, length;
  };
  std::vector<std::int64_t> tokens, positions, rows, targets, last;
  std::vector<float> weights;
  std::vector<Place> places;
  std::int64_t longest = 1;
  for (const TrainExample* sequence : sequences) {
    const auto length = static_cast<std::int64_t>(sequence->tokens.size()) - 1;
    if (length < 1) continue;
    places.push_back({static_cast<std::int64_t>(tokens.size()), length});
    longest = std::max(longest, length);
    for (std::int64_t i = 0; i < length; ++i) {
      const auto next = static_cast<std::size_t>(i) + 1;
      if (sequence->weights[next] != 0.0F) {
        rows.push_back(static_cast<std::int64_t>(tokens.size()));
        targets.push_back(sequence->tokens[next]);
        weights.push_back(sequence->weights[next]);
      }
      tokens.push_back(sequence->tokens[next - 1]);
      positions.push_back(i);
    }
    last.push_back(static_cast<std::int64_t>(tokens.size()) - 1);
  }
  angles_up_to(longest);
  const at::Device device = w_.factors.device();
  TrainRows out;
  out.tokens = static_cast<std::int64_t>(tokens.size());
  out.counted = static_cast<std::int64_t>(rows.size());
  out.token_T = on(device, tokens);
  out.position_T = on(device, positions);
  out.row_P = on(device, rows);
  out.target_P = on(device, targets);
  out.weight_P = on(device, weights.data(), {out.counted});
  out.last_S = on(device, last);

  // Longest first; a group's shortest has at least three quarters of its longest, so that little is padding.
  std::vector<std::size_t> order(places.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return places[a].length > places[b].length; });
  std::vector<std::int64_t> back(tokens.size());
  std::int64_t at = 0;
  for (std::size_t first = 0; first < order.size();) {
    const std::int64_t length = places[order[first]].length;
    const std::int64_t scores = length * length * config_.num_attention_heads;
    const auto most = static_cast<std::size_t>(most_scores_ > 0 ? std::max<std::int64_t>(1, most_scores_ / scores) : 1 << 20);
    std::size_t end = first;
    while (end < order.size() && end - first < most && 4 * places[order[end]].length >= 3 * length) ++end;
    std::vector<std::int64_t> row_of;
    for (std::size_t s = first; s < end; ++s, at += length) {
      const Place& place = places[order[s]];
      for (std::int64_t i = 0; i < length; ++i) row_of.push_back(place.begin + std::min(i, place.length - 1));
      for (std::int64_t i = 0; i < place.length; ++i) back[static_cast<std::size_t>(place.begin + i)] = at + i;
    }
    out.attention.groups.push_back({static_cast<std::int64_t>(end - first), length, on(device, row_of)});
    first = end;
  }
  out.attention.back = on(device, back);
  // Sequences of one length in their own order need no gathering.
  if (out.attention.groups.size() == 1 && at == out.tokens && std::is_sorted(back.begin(), back.end())) {
    out.attention.groups[0].row_of = at::Tensor();
    out.attention.back = at::Tensor();
  }
  return out;
}

TrainPass::Leaves TrainPass::leaves(std::size_t l, bool trained) const {
  const nn::Layout::Layer& at = w_.layout.layers[l];
  const bool full = trained && w_.lora == nullptr;
  const std::int64_t C = config_.hidden_size, F = config_.intermediate_size, D = config_.head_dim, X = config_.num_attention_heads * D;
  const std::int64_t W = X + 2 * config_.num_key_value_heads * D;
  Leaves out;
  const auto keep = [&](const at::Tensor& tensor, std::size_t offset) {
    if (!tensor.requires_grad()) return;
    out.trained.push_back(tensor);
    out.offsets.push_back(offset);
  };
  const auto matrix = [&](std::size_t offset, std::int64_t rows, std::int64_t cols) {
    const at::Tensor tensor = leaf(w_.matrix(offset, rows, cols), full);
    keep(tensor, offset);
    return tensor;
  };
  const auto vector = [&](bool there, std::size_t offset) {
    if (!there) return at::Tensor();
    const at::Tensor tensor = leaf(w_.vector(offset), full);
    keep(tensor, offset);
    return tensor;
  };
  out.input_norm = vector(true, at.input_norm);
  out.post_norm = vector(true, at.post_norm);
  out.qkv = matrix(at.qkv, W, C);
  out.out = matrix(at.out, C, X);
  out.gate_up = matrix(at.gate_up, 2 * F, C);
  out.down = matrix(at.down, C, F);
  out.qkv_bias = vector(config_.qkv_bias, at.qkv_bias);
  out.out_bias = vector(config_.out_bias, at.out_bias);
  out.q_norm = vector(config_.qk_norm, at.q_norm);
  out.k_norm = vector(config_.qk_norm, at.k_norm);
  for (int p = 0; w_.lora && p < 4; ++p) {
    for (const nn::LoraLayout::Module& m : w_.lora->of(l, static_cast<nn::Product>(p))) {
      const auto part = [&](std::size_t offset, int rows, int cols) {
        const at::Tensor tensor = leaf(w_.adapter.narrow(0, static_cast<std::int64_t>(offset), std::int64_t{rows} * cols).view({rows, cols}), trained);
        keep(tensor, offset);
        return tensor;
      };
      out.low_rank[p].push_back({m.at, m.scale, part(m.a, m.rank, m.in), part(m.b, m.out, m.rank)});
    }
  }
  return out;
}

// rows W^T + s (rows A^T) B^T: where there is an adapter in fp32, else as libtorch rounds it. Gate and up, which are kept, always are.
at::Tensor TrainPass::product(const Leaves& w, nn::Product which, const at::Tensor& rows, const at::Tensor& matrix) const {
  at::Tensor y = at::linear(rows, matrix);
  const std::vector<LowRank>& low_rank = w.low_rank[static_cast<std::size_t>(which)];
  if (low_rank.empty()) return y;
  y = y.to(at::kFloat);
  for (const LowRank& m : low_rank) {
    const at::Tensor u = (at::linear(rows, m.a.to(w_.type)).to(at::kFloat) * m.scale).to(w_.type);
    y.narrow(1, m.at, m.b.size(0)).add_(at::linear(u, m.b.to(w_.type)));
  }
  if (which == nn::Product::kGateUp) return y.to(w_.type);
  return y;
}

at::Tensor TrainPass::layer(std::size_t l, const at::Tensor& x_TC, const Leaves& w, const TrainRows& rows) const {
  const std::int64_t H = config_.num_attention_heads, G = config_.num_key_value_heads, D = config_.head_dim, T = rows.tokens;
  const double eps = config_.rms_norm_eps;
  const at::Tensor cosines = cosines_.index_select(0, rows.position_T).unsqueeze(1), sines = sines_.index_select(0, rows.position_T).unsqueeze(1);
  at::Tensor qkv = product(w, nn::Product::kQkv, rms_norm(x_TC, w.input_norm, eps, w_.type), w.qkv);
  if (w.qkv_bias.defined()) qkv = qkv + w.qkv_bias;
  qkv = qkv.view({T, H + 2 * G, D});
  at::Tensor q = qkv.narrow(1, 0, H), k = qkv.narrow(1, H, G);
  const at::Tensor v = qkv.narrow(1, H + G, G).to(w_.type);
  if (w.q_norm.defined()) {  // every head on its own (Qwen3)
    q = rms_norm(q.to(at::kFloat), w.q_norm, eps, at::kFloat);
    k = rms_norm(k.to(at::kFloat), w.k_norm, eps, at::kFloat);
  }
  q = rotate(q, cosines, sines, w_.type);
  k = rotate(k, cosines, sines, w_.type);
  const at::Tensor attended = attention(q, k, v, rows.attention, config_.window(static_cast<int>(l)));
  at::Tensor mid = x_TC + product(w, nn::Product::kOut, attended, w.out);
  if (w.out_bias.defined()) mid = mid + w.out_bias;
  const at::Tensor gate_up = product(w, nn::Product::kGateUp, rms_norm(mid, w.post_norm, eps, w_.type), w.gate_up);
  return mid + product(w, nn::Product::kDown, swiglu(gate_up, w_.type), w.down);
}

at::Tensor TrainPass::forward(const TrainRows& rows, bool keep) {
  const c10::NoGradGuard no_grad;
  at::Tensor x = w_.matrix(w_.layout.embed, config_.vocab_size, config_.hidden_size).index_select(0, rows.token_T).to(at::kFloat);
  for (std::size_t l = 0; l < kept_.size(); ++l) {
    Kept& kept = kept_[l];
    kept = {};
    if (keep) kept.in = x.detach().requires_grad_();
    if (!keep || recompute_) {
      x = layer(l, x, leaves(l, false), rows);
      continue;
    }
    const c10::AutoGradMode with_grad(true);
    kept.leaves = leaves(l, true);
    kept.out = layer(l, kept.in, kept.leaves, rows);
    x = kept.out.detach();
  }
  last_ = keep ? x : at::Tensor();
  return rms_norm(x, w_.vector(w_.layout.norm), config_.rms_norm_eps, at::kFloat);
}

at::Tensor TrainPass::learn(const TrainRows& rows, const at::Tensor& states_TC, double scale, at::Tensor& gradient) {
  at::Tensor dstates = at::zeros_like(states_TC);
  const at::Tensor logp = head(rows, states_TC, scale, &gradient, &dstates);
  backward(rows, dstates, gradient);
  return logp;
}

at::Tensor TrainPass::head(const TrainRows& rows, const at::Tensor& states_TC, double scale, at::Tensor* gradient, at::Tensor* dstates) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor matrix = w_.head_rows(), logp = at::empty({rows.counted}, states_TC.options());
  at::Tensor dhead;
  if (gradient && !w_.lora) dhead = gradient->narrow(0, static_cast<std::int64_t>(w_.layout.head), matrix.numel()).view(matrix.sizes());
  const std::int64_t most = std::max<std::int64_t>(1, most_logits_ / config_.vocab_size);
  for (std::int64_t from = 0; from < rows.counted; from += most) {
    const std::int64_t some = std::min(most, rows.counted - from);
    const at::Tensor row = rows.row_P.narrow(0, from, some), target = rows.target_P.narrow(0, from, some).unsqueeze(1);
    const at::Tensor picked = states_TC.index_select(0, row).to(w_.type);
    at::Tensor logits = at::linear(picked, matrix).to(at::kFloat);
    const at::Tensor all = logits.logsumexp(-1, true);
    logp.narrow(0, from, some).copy_((logits.gather(1, target) - all).squeeze(1));
    if (!gradient) continue;
    const at::Tensor weight = (rows.weight_P.narrow(0, from, some) * scale).unsqueeze(1);
    logits.sub_(all).exp_().mul_(weight).scatter_add_(1, target, -weight);  // weight (softmax - onehot)
    const at::Tensor dlogits = logits.to(w_.type);
    dstates->index_copy_(0, row, at::matmul(dlogits, matrix).to(at::kFloat));
    if (dhead.defined()) dhead.add_(at::matmul(dlogits.t(), picked));
  }
  return logp;
}

void TrainPass::backward(const TrainRows& rows, const at::Tensor& dstates_TC, at::Tensor& gradient) {
  const auto add = [&](std::size_t offset, const at::Tensor& d) { gradient.narrow(0, static_cast<std::int64_t>(offset), d.numel()).add_(d.reshape({-1})); };
  at::Tensor dx;
  {
    const c10::AutoGradMode with_grad(true);
    const at::Tensor x = leaf(last_, true), norm = leaf(w_.vector(w_.layout.norm), w_.lora == nullptr);
    const at::Tensor y = rms_norm(x, norm, config_.rms_norm_eps, at::kFloat);
    std::vector<at::Tensor> from = {x};
    if (norm.requires_grad()) from.push_back(norm);
    const std::vector<at::Tensor> d = torch::autograd::grad({y}, from, {dstates_TC});
    dx = d[0];
    const c10::NoGradGuard no_grad;
    if (norm.requires_grad()) add(w_.layout.norm, d[1]);
  }
  last_ = at::Tensor();
  for (std::size_t l = kept_.size(); l-- > 0;) {
    Kept kept = std::move(kept_[l]);
    kept_[l] = {};
    if (!kept.out.defined()) {
      const c10::AutoGradMode with_grad(true);
      kept.leaves = leaves(l, true);
      kept.out = layer(l, kept.in, kept.leaves, rows);
    }
    std::vector<at::Tensor> from = {kept.in};
    from.insert(from.end(), kept.leaves.trained.begin(), kept.leaves.trained.end());
    const std::vector<at::Tensor> d = torch::autograd::grad({kept.out}, from, {dx});
    const c10::NoGradGuard no_grad;
    dx = d[0];
    for (std::size_t i = 0; i < kept.leaves.offsets.size(); ++i) add(kept.leaves.offsets[i], d[i + 1]);
  }
  const c10::NoGradGuard no_grad;
  if (!w_.lora) add(w_.layout.embed, at::embedding_dense_backward(dx, rows.token_T, config_.vocab_size, -1, false));
}

}  // namespace precept::on_device
