// Legend: T tokens of all sequences, packed; C hidden; H query heads, G key/value heads, D head
// width; W = (H + 2 G) D; F feed-forward width; V vocabulary; P positions whose loss counts;
// S tokens of one sequence. Capitals at the end of a name are its shape, row-major.
#include "precept/lm/nn/llama.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "precept/lm/nn/head.h"
#include "precept/lm/nn/sequence_attention.h"

namespace precept::nn {
namespace {

struct Span {
  int begin, length;  // tokens
};

// What one layer keeps from forward for backward, besides its input. What norms and SwiGLU gave is made again: a third of all, for
// half a percent of the time.
struct Saved {
  Floats rstd1_T, raw_TW, rstd_heads_TH, qkv_TW, attended_TX, mid_TC, rstd2_T, gate_up_TF2;
};

// What forward keeps: nothing, all of every layer, or every layer's input, from which backward computes the rest again.
enum class Keep { kNothing, kAll, kInputs };

}  // namespace

// What is kept between calls, and the work itself. X = H D; the members c, f... are the sizes of the legend.
struct Pass::Buffers {
  Buffers(const Layout& of, const Kernels& with, const LoraWeights* adapter, const PassOptions& how)
      : layout(of), k(with), options(how), c(of.config.hidden_size), f(of.config.intermediate_size), v(of.config.vocab_size),
        dim(of.config.head_dim), heads(of.config.num_attention_heads), groups(of.config.num_key_value_heads),
        x(heads * dim), w(x + 2 * groups * dim), eps(float(of.config.rms_norm_eps)),
        shared(row_kernels(&with == bf16_kernels() ? Precision::kBf16 : Precision::kFp32)), attend(shared, heads, groups, dim),
        layers(of.layers.size()), inputs(of.layers.size() + 1) {
    if (!adapter) return;
    lora = std::make_unique<LoraPass>(*adapter, with);
    unused.resize(std::size_t(std::max(c, dim)));
  }

  const Layout& layout;
  const Kernels& k;
  const PassOptions options;
  const int c, f, v, dim, heads, groups, x, w;
  const float eps;
  const RowKernels& shared;  // what must have the engine's bits
  SequenceAttention attend;
  int t = 0;           // tokens of this call
  std::size_t tc = 0;  // t * c

  std::unique_ptr<LoraPass> lora;  // then the weights are frozen
  Floats unused;                   // gradients of frozen norms, which nobody wants
  Keep keep = Keep::kNothing;      // of this call
  std::vector<Saved> layers;       // unless all are kept, the first one is everybody's
  std::vector<Floats> inputs;      // [T, C] of each layer, and the last one's output
  std::vector<Span> spans;
  std::vector<int> position_T, token_T;
  Floats cos_SD, sin_SD;  // half of D each
  int angles = 0;
  Floats normed_TC, swiglu_TF;  // of the layer at hand
  Floats final_TC, rstd_T, picked_PC, logits_PV, dlogits_PV, dpicked_PC, dx_TC, dnorm_TC,
      dqkv_TW, dheads_W, dattended_TX, dswiglu_TF, packed, turned, turned_weights;
  HeadScratch head_scratch;
  std::vector<int> row_P, target_P;
  std::vector<float> weight_P;
  std::vector<float> logp_P;

  void angles_up_to(int n, const LlamaConfig& config);
  void lay_out(const std::vector<const TrainExample*>& sequences, const LlamaConfig& config);

  Saved& saved(std::size_t l) { return layers[keep == Keep::kAll ? l : 0]; }
  float* input(std::size_t l) { return sized(inputs[keep == Keep::kNothing ? l % 2 : l], tc); }
  Keep for_backward() const { return options.recompute ? Keep::kInputs : Keep::kAll; }
  void begin(const std::vector<const TrainExample*>& sequences);
  void pick(std::span<const float> weights_of);

  void forward(const Weights& weights);
  void attention(const Weights& weights, std::size_t l);
  void gate_and_up(const Weights& weights, std::size_t l);
  float* norm(const float* weight, const float* rows, Floats& rstd);  // into normed_TC
  void feed_forward(const Weights& weights, std::size_t l);
  // Loss, and with a gradient that of the final norm's output, in dnorm_TC.
  LossSum loss(const Weights& weights, float scale, float* gradient);
  double cross_entropy(float* logits, int target, float weight, bool gradient) const;
  void backward(const Weights& weights, float* gradient);
  void feed_forward_back(const Weights& weights, std::size_t l, float* gradient);
  void attention_back(const Weights& weights, std::size_t l, float* gradient);
  float* norm_gradient(float* gradient, std::size_t offset) { return lora ? unused.data() : gradient + offset; }
  // gradient of the matrix at `offset` (N x K) += dy^T rows, unless it is frozen. dy: T rows of N; rows: T of K = width.
  void matrix_gradient(int n, int width, const float* dy, const float* rows, float* gradient, std::size_t offset);
  void rotate(std::size_t row_size, float turn, float* rows) const;
  void add_bias(const float* bias, int width, float* rows) const;
  void add_bias_gradient(const float* drows, int width, float* gradient) const;
  void norm_heads(const Weights& weights, std::size_t l);
  void norm_heads_back(const Weights& weights, std::size_t l, float* dqkv, float* gradient);
};

void Pass::Buffers::angles_up_to(int n, const LlamaConfig& config) {
  if (n <= angles) return;
  const int half = config.head_dim / 2;
  angles = n;
  cos_SD.resize(std::size_t(n) * half);
  sin_SD.resize(std::size_t(n) * half);
  const std::vector<double> frequencies = rope_frequencies(config);
  const double factor = rope_attention_factor(config);
  for (int s = 0; s < n; ++s) {
    for (int d = 0; d < half; ++d) {
      const double angle = s * frequencies[std::size_t(d)];
      cos_SD[std::size_t(s) * half + d] = float(factor * std::cos(angle));
      sin_SD[std::size_t(s) * half + d] = float(factor * std::sin(angle));
    }
  }
}

// Tokens, positions, and the positions whose loss counts. Inputs are tokens 0..n-2 of a sequence:
// the last one predicts nothing.
void Pass::Buffers::lay_out(const std::vector<const TrainExample*>& sequences,
                            const LlamaConfig& config) {
  spans.clear();
  position_T.clear();
  token_T.clear();
  row_P.clear();
  target_P.clear();
  weight_P.clear();
  for (const TrainExample* sequence : sequences) {
    const int length = int(sequence->tokens.size()) - 1;
    if (length < 1) continue;
    spans.push_back({int(token_T.size()), length});
    for (int i = 0; i < length; ++i) {
      const float weight = sequence->weights[std::size_t(i) + 1];
      if (weight != 0.0F) {
        row_P.push_back(int(token_T.size()));
        target_P.push_back(sequence->tokens[std::size_t(i) + 1]);
        weight_P.push_back(weight);
      }
      token_T.push_back(sequence->tokens[std::size_t(i)]);
      position_T.push_back(i);
    }
    angles_up_to(length, config);
  }
}

void Pass::Buffers::begin(const std::vector<const TrainExample*>& sequences) {
  lay_out(sequences, layout.config);
  t = int(token_T.size());
  tc = std::size_t(t) * c;
  logp_P.assign(row_P.size(), 0.0F);
}

// Of the positions whose loss counts, those whose new weight is not 0.
void Pass::Buffers::pick(std::span<const float> weights_of) {
  std::size_t kept = 0;
  for (std::size_t p = 0; p < row_P.size(); ++p) {
    if (weights_of[p] == 0.0F) continue;
    row_P[kept] = row_P[p];
    target_P[kept] = target_P[p];
    weight_P[kept++] = weights_of[p];
  }
  row_P.resize(kept);
  target_P.resize(kept);
  weight_P.resize(kept);
}

// Rotates queries and keys of every row by their positions.
void Pass::Buffers::rotate(std::size_t row_size, float turn, float* rows) const {
  const std::size_t half = std::size_t(dim) / 2;
  for (std::size_t i = 0; i < position_T.size(); ++i) {
    const std::size_t at = std::size_t(position_T[i]) * half;
    k.rotate(heads + groups, dim, cos_SD.data() + at, sin_SD.data() + at, turn, rows + i * row_size);
  }
}

void Pass::Buffers::add_bias(const float* bias, int width, float* rows) const {
  for (int i = 0; i < t; ++i, rows += width) {
    for (int j = 0; j < width; ++j) rows[j] += bias[j];
  }
}

void Pass::Buffers::add_bias_gradient(const float* drows, int width, float* gradient) const {
  for (int i = 0; i < t; ++i, drows += width) {
    for (int j = 0; j < width; ++j) gradient[j] += drows[j];
  }
}

// Every head of q and k on its own (Qwen3), before rotation.
void Pass::Buffers::norm_heads(const Weights& weights, std::size_t l) {
  Saved& s = saved(l);
  const Layout::Layer& layer = layout.layers[l];
  float* raw = sized(s.raw_TW, std::size_t(t) * w);
  float* rstd = sized(s.rstd_heads_TH, std::size_t(t) * std::size_t(heads + groups));
  float* qkv = s.qkv_TW.data();
  std::memcpy(raw, qkv, sizeof(float) * std::size_t(t) * w);
  for (int i = 0; i < t; ++i, raw += w, qkv += w, rstd += heads + groups) {
    k.rmsnorm(heads, dim, raw, weights.at(layer.q_norm), eps, qkv, rstd);
    k.rmsnorm(groups, dim, raw + x, weights.at(layer.k_norm), eps, qkv + x, rstd + heads);
  }
}

// Turns the gradient of the normed heads into that of the raw ones, in place.
void Pass::Buffers::norm_heads_back(const Weights& weights, std::size_t l, float* dqkv, float* gradient) {
  const Saved& s = saved(l);
  const Layout::Layer& layer = layout.layers[l];
  const float *raw = s.raw_TW.data(), *rstd = s.rstd_heads_TH.data();
  const int wide = (heads + groups) * dim;
  float* dheads = sized(dheads_W, std::size_t(wide));
  for (int i = 0; i < t; ++i, raw += w, dqkv += w, rstd += heads + groups) {
    std::memset(dheads, 0, sizeof(float) * std::size_t(wide));
    k.rmsnorm_back(heads, dim, raw, weights.at(layer.q_norm), rstd, dqkv, dheads, norm_gradient(gradient, layer.q_norm));
    k.rmsnorm_back(groups, dim, raw + x, weights.at(layer.k_norm), rstd + heads, dqkv + x, dheads + x, norm_gradient(gradient, layer.k_norm));
    std::memcpy(dqkv, dheads, sizeof(float) * std::size_t(wide));
  }
}

void Pass::Buffers::forward(const Weights& weights) {
  float* in = input(0);
  for (int i = 0; i < t; ++i) weights.embedding(token_T[std::size_t(i)], in + std::size_t(i) * c);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    attention(weights, l);
    feed_forward(weights, l);
  }
  k.rmsnorm(t, c, input(layers.size()), weights.at(layout.norm), eps, sized(final_TC, tc), sized(rstd_T, std::size_t(t)));
}

// mid = in + attended Wout^T
void Pass::Buffers::attention(const Weights& weights, std::size_t l) {
  const Layout::Layer& layer = layout.layers[l];
  Saved& s = saved(l);
  const float* in = input(l);
  const float* norm1 = norm(weights.at(layer.input_norm), in, s.rstd1_T);
  float* qkv = sized(s.qkv_TW, std::size_t(t) * w);
  k.gemm(t, w, c, norm1, std::size_t(c), 1, weights.panels(layer.qkv), qkv, std::size_t(w), false);
  if (lora) lora->forward(l, Product::kQkv, t, norm1, qkv, std::size_t(w));
  if (layout.config.qkv_bias) add_bias(weights.at(layer.qkv_bias), w, qkv);
  if (layout.config.qk_norm) norm_heads(weights, l);
  rotate(std::size_t(w), 1.0F, qkv);
  float* attended = sized(s.attended_TX, std::size_t(t) * x);
  for (const Span& span : spans) {
    attend.run(span.length, layout.config.window(int(l)), qkv + std::size_t(span.begin) * w, std::size_t(w),
               attended + std::size_t(span.begin) * x, std::size_t(x));
  }
  float* mid = sized(s.mid_TC, tc);
  std::memcpy(mid, in, sizeof(float) * tc);
  k.gemm(t, c, x, attended, std::size_t(x), 1, weights.panels(layer.out), mid, std::size_t(c), true);
  if (lora) lora->forward(l, Product::kOut, t, attended, mid, std::size_t(c));
  if (layout.config.out_bias) add_bias(weights.at(layer.out_bias), c, mid);
}

void Pass::Buffers::gate_and_up(const Weights& weights, std::size_t l) {
  const Layout::Layer& layer = layout.layers[l];
  Saved& s = saved(l);
  const float* mid = s.mid_TC.data();
  const float* norm2 = norm(weights.at(layer.post_norm), mid, s.rstd2_T);
  float* gate_up = sized(s.gate_up_TF2, std::size_t(t) * 2 * f);
  const bool whole = f % kPanel == 0;  // else gate's last panel is not full, and up is another product
  k.gemm(t, whole ? 2 * f : f, c, norm2, std::size_t(c), 1, weights.panels(layer.gate_up), gate_up, std::size_t(2 * f), false);
  if (!whole) k.gemm(t, f, c, norm2, std::size_t(c), 1, weights.panels_up(layer.gate_up), gate_up + f, std::size_t(2 * f), false);
  if (lora) lora->forward(l, Product::kGateUp, t, norm2, gate_up, std::size_t(2 * f));
  k.swiglu(t, f, gate_up, sized(swiglu_TF, std::size_t(t) * f));
}

float* Pass::Buffers::norm(const float* weight, const float* rows, Floats& rstd) {
  float* normed = sized(normed_TC, tc);
  k.rmsnorm(t, c, rows, weight, eps, normed, sized(rstd, std::size_t(t)));
  return normed;
}

// out = mid + swiglu Wdown^T, the next layer's input
void Pass::Buffers::feed_forward(const Weights& weights, std::size_t l) {
  gate_and_up(weights, l);
  const Layout::Layer& layer = layout.layers[l];
  const Saved& s = saved(l);
  const float* swiglu = swiglu_TF.data();
  float* out = input(l + 1);
  std::memcpy(out, s.mid_TC.data(), sizeof(float) * tc);
  k.gemm(t, c, f, swiglu, std::size_t(f), 1, weights.panels(layer.down), out, std::size_t(c), true);
  if (lora) lora->forward(l, Product::kDown, t, swiglu, out, std::size_t(c));
}

// -log p(target), as the engine computes it; with `gradient` the logits become weight * (softmax - onehot(target)).
double Pass::Buffers::cross_entropy(float* logits, int target, float weight, bool gradient) const {
  const float top = shared.largest(v, logits);
  const double at_target = double(logits[target]) - double(top);
  const float sum = shared.exponentials(v, logits, top, 1.0F, gradient ? logits : nullptr);
  if (gradient) {
    const float share = weight / sum;
    for (int i = 0; i < v; ++i) logits[i] *= share;
    logits[target] -= weight;
  }
  return -(at_target - std::log(double(sum)));
}

// A block of rows at a time.
LossSum Pass::Buffers::loss(const Weights& weights, float scale, float* gradient) {
  LossSum sums;
  const float* normed = final_TC.data();
  const int positions = int(row_P.size()), rows = options.full_logits ? positions : std::min(positions, options.loss_rows);
  float* dnormed = sized(dnorm_TC, tc);
  if (gradient) std::memset(dnormed, 0, sizeof(float) * tc);
  float* picked = sized(picked_PC, std::size_t(rows) * c);
  float* dpicked = sized(dpicked_PC, std::size_t(rows) * c);
  float* logits = sized(logits_PV, std::size_t(rows) * v);
  for (int p0 = 0; p0 < positions; p0 += rows) {
    const int count = std::min(rows, positions - p0);
    for (int i = 0; i < count; ++i) {
      std::memcpy(picked + std::size_t(i) * c, normed + std::size_t(row_P[std::size_t(p0 + i)]) * c,
                  sizeof(float) * std::size_t(c));
    }
    k.gemm(count, v, c, picked, std::size_t(c), 1, weights.panels(layout.head), logits, std::size_t(v), false);
    for (int i = 0; i < count; ++i) {
      const std::size_t p = std::size_t(p0 + i);
      const double nll = cross_entropy(logits + std::size_t(i) * v, target_P[p], weight_P[p] * scale, gradient != nullptr);
      logp_P[p] = float(-nll);
      sums.loss += double(weight_P[p]) * nll;
      sums.weight += double(weight_P[p]);
    }
    if (!gradient) continue;
    if (options.full_logits) logits = static_cast<float*>(std::memcpy(sized(dlogits_PV, std::size_t(count) * v), logits, sizeof(float) * std::size_t(count) * v));
    weights.times(layout.head, count, logits, dpicked, turned_weights);
    if (!lora) {
      float* panel = sized(packed, packed_size(std::size_t(count), std::size_t(c)));
      k.pack_rows(count, c, picked, std::size_t(c), panel);
      k.gemm(v, c, count, logits, 1, std::size_t(v), panel, gradient + layout.head, std::size_t(c), true);
    }
    for (int i = 0; i < count; ++i) {
      std::memcpy(dnormed + std::size_t(row_P[std::size_t(p0 + i)]) * c, dpicked + std::size_t(i) * c,
                  sizeof(float) * std::size_t(c));
    }
  }
  return sums;
}

// dx_TC is the gradient of the residual stream.
void Pass::Buffers::backward(const Weights& weights, float* gradient) {
  float* dx = sized(dx_TC, tc);
  std::memset(dx, 0, sizeof(float) * tc);
  k.rmsnorm_back(t, c, input(layers.size()), weights.at(layout.norm), rstd_T.data(), dnorm_TC.data(), dx,
                 norm_gradient(gradient, layout.norm));
  sized(turned, packed_size(std::size_t(t), std::size_t(std::max({c, f, x}))));
  for (std::size_t l = layers.size(); l-- > 0;) {
    if (keep == Keep::kInputs && l + 1 < layers.size()) {  // of the last layer forward left all
      attention(weights, l);
      gate_and_up(weights, l);
    }
    feed_forward_back(weights, l, gradient);
    attention_back(weights, l, gradient);
  }
  for (int i = 0; !lora && i < t; ++i) {
    float* row = gradient + layout.embed + std::size_t(token_T[std::size_t(i)]) * c;
    const float* d = dx + std::size_t(i) * c;
    for (int j = 0; j < c; ++j) row[j] += d[j];
  }
}

void Pass::Buffers::matrix_gradient(int n, int width, const float* dy, const float* rows, float* gradient, std::size_t offset) {
  if (lora) return;
  k.pack_rows(t, width, rows, std::size_t(width), turned.data());
  k.gemm(n, width, t, dy, 1, std::size_t(n), turned.data(), gradient + offset, std::size_t(width), true);
}

void Pass::Buffers::feed_forward_back(const Weights& weights, std::size_t l, float* gradient) {
  const Layout::Layer& layer = layout.layers[l];
  Saved& s = saved(l);
  float *dx = dx_TC.data(), *dnorm = dnorm_TC.data();
  float* dswiglu = sized(dswiglu_TF, std::size_t(t) * f);
  if (keep == Keep::kAll) k.swiglu(t, f, s.gate_up_TF2.data(), swiglu_TF.data());
  weights.times(layer.down, t, dx, dswiglu, turned_weights);
  matrix_gradient(c, f, dx, swiglu_TF.data(), gradient, layer.down);
  if (lora) lora->backward(l, Product::kDown, t, swiglu_TF.data(), dx, std::size_t(c), dswiglu, gradient, turned.data());
  k.swiglu_back(t, f, s.gate_up_TF2.data(), dswiglu);
  const float* dgate_up = s.gate_up_TF2.data();
  const float* norm2 = norm(weights.at(layer.post_norm), s.mid_TC.data(), s.rstd2_T);
  weights.times(layer.gate_up, t, dgate_up, dnorm, turned_weights);
  matrix_gradient(2 * f, c, dgate_up, norm2, gradient, layer.gate_up);
  if (lora) lora->backward(l, Product::kGateUp, t, norm2, dgate_up, std::size_t(2 * f), dnorm, gradient, turned.data());
  k.rmsnorm_back(t, c, s.mid_TC.data(), weights.at(layer.post_norm), s.rstd2_T.data(), dnorm, dx,
                 norm_gradient(gradient, layer.post_norm));
}

void Pass::Buffers::attention_back(const Weights& weights, std::size_t l, float* gradient) {
  const Layout::Layer& layer = layout.layers[l];
  Saved& s = saved(l);
  float *dx = dx_TC.data(), *dnorm = dnorm_TC.data();
  float* dattended = sized(dattended_TX, std::size_t(t) * x);
  if (layout.config.out_bias && !lora) add_bias_gradient(dx, c, gradient + layer.out_bias);
  weights.times(layer.out, t, dx, dattended, turned_weights);
  matrix_gradient(c, x, dx, s.attended_TX.data(), gradient, layer.out);
  if (lora) lora->backward(l, Product::kOut, t, s.attended_TX.data(), dx, std::size_t(c), dattended, gradient, turned.data());
  float* dqkv = sized(dqkv_TW, std::size_t(t) * w);
  std::memset(dqkv, 0, sizeof(float) * std::size_t(t) * w);
  for (const Span& span : spans) {
    const Head head{k, span.length, dim, layout.config.window(int(l)), std::size_t(w), std::size_t(x), head_scratch};
    const float* rows = s.qkv_TW.data() + std::size_t(span.begin) * w;
    float* drows = dqkv + std::size_t(span.begin) * w;
    for (int h = 0; h < heads; ++h) {
      const int at = h * dim, key = x + h / (heads / groups) * dim, value = key + groups * dim;
      head.backward(rows + at, rows + key, rows + value, dattended + std::size_t(span.begin) * x + at, drows + at, drows + key, drows + value);
    }
  }
  rotate(std::size_t(w), -1.0F, dqkv);
  if (layout.config.qk_norm) norm_heads_back(weights, l, dqkv, gradient);
  if (layout.config.qkv_bias && !lora) add_bias_gradient(dqkv, w, gradient + layer.qkv_bias);
  weights.times(layer.qkv, t, dqkv, dnorm, turned_weights);
  const float* norm1 = norm(weights.at(layer.input_norm), input(l), s.rstd1_T);
  matrix_gradient(w, c, dqkv, norm1, gradient, layer.qkv);
  if (lora) lora->backward(l, Product::kQkv, t, norm1, dqkv, std::size_t(w), dnorm, gradient, turned.data());
  k.rmsnorm_back(t, c, input(l), weights.at(layer.input_norm), s.rstd1_T.data(), dnorm, dx,
                 norm_gradient(gradient, layer.input_norm));
}

Pass::Pass(const Layout& layout, const Kernels& kernels, const LoraWeights* lora, const PassOptions& options)
    : buffers_(std::make_unique<Buffers>(layout, kernels, lora, options)) {}
Pass::~Pass() = default;
Pass::Pass(Pass&&) noexcept = default;

LossSum Pass::run(const Weights& weights, const std::vector<const TrainExample*>& sequences,
                  float scale, float* gradient) {
  Buffers& b = *buffers_;
  b.begin(sequences);
  if (b.row_P.empty()) return {};
  b.keep = gradient ? b.for_backward() : Keep::kNothing;
  b.forward(weights);
  const LossSum sums = b.loss(weights, scale, gradient);
  if (gradient) b.backward(weights, gradient);
  return sums;
}

void Pass::run_objective(const Weights& weights, const std::vector<const TrainExample*>& sequences, const TokenWeights& derive,
                         float* gradient) {
  Buffers& b = *buffers_;
  b.begin(sequences);
  if (b.row_P.empty()) return;
  b.keep = b.for_backward();
  b.forward(weights);
  b.loss(weights, 1.0F, nullptr);
  const std::vector<float> logp = b.logp_P;
  std::vector<float> weight(logp.size());
  derive(logp, weight);
  b.pick(weight);
  if (!b.row_P.empty()) {
    b.loss(weights, 1.0F, gradient);
    b.backward(weights, gradient);
  }
  b.logp_P = logp;
}

const std::vector<float>& Pass::picked_logprobs() const { return buffers_->logp_P; }

std::vector<float> Pass::last_states(const Weights& weights, const std::vector<const TrainExample*>& sequences, bool backward) {
  Buffers& b = *buffers_;
  b.begin(sequences);
  std::vector<float> states;
  if (b.t == 0) return states;
  b.keep = backward ? b.for_backward() : Keep::kNothing;
  b.forward(weights);
  for (const Span& span : b.spans) {
    const float* row = b.final_TC.data() + std::size_t(span.begin + span.length - 1) * b.c;
    states.insert(states.end(), row, row + b.c);
  }
  return states;
}

void Pass::backward_states(const Weights& weights, const std::vector<float>& derivatives, float* gradient) {
  Buffers& b = *buffers_;
  if (b.t == 0) return;
  float* dnormed = sized(b.dnorm_TC, b.tc);
  std::memset(dnormed, 0, sizeof(float) * b.tc);
  for (std::size_t i = 0; i < b.spans.size(); ++i) {
    const Span& span = b.spans[i];
    std::memcpy(dnormed + std::size_t(span.begin + span.length - 1) * b.c, derivatives.data() + i * b.c, sizeof(float) * b.c);
  }
  b.backward(weights, gradient);
}

std::vector<float> Pass::logprobs(const Weights& weights, const TrainExample& sequence) {
  TrainExample all{sequence.tokens, std::vector<float>(sequence.tokens.size(), 1.0F)};
  run(weights, {&all}, 1.0F, nullptr);
  std::vector<float> result(sequence.tokens.size(), 0.0F);
  std::copy(buffers_->logp_P.begin(), buffers_->logp_P.end(), result.begin() + (result.empty() ? 0 : 1));
  return result;
}

}  // namespace precept::nn
