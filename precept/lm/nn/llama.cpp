// Legend: T tokens of all sequences, packed; C hidden; H query heads, G key/value heads, D head
// width; W = (H + 2 G) D; F feed-forward width; V vocabulary; P positions whose loss counts;
// S tokens of one sequence. Capitals at the end of a name are its shape, row-major.
#include "precept/lm/nn/llama.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace precept::nn {
namespace {

constexpr int kQueryRows = 56;  // rows of attention scores computed together
constexpr int kLossRows = 112;  // rows of logits in flight

struct Span {
  int begin, length;         // tokens
  std::size_t probabilities; // offset in Saved::probabilities; H matrices of length x stride
  std::size_t stride;
};

// What one layer keeps from forward for backward.
struct Saved {
  Floats in_TC, norm1_TC, rstd1_T, qkv_TW, attended_TX, mid_TC, norm2_TC, rstd2_T,
      gate_up_TF2, swiglu_TF, probabilities;
};

float* sized(Floats& v, std::size_t n) {
  if (v.size() < n) v.resize(n);
  return v.data();
}

}  // namespace

struct Pass::Buffers {
  std::vector<Saved> layers;
  std::vector<Span> spans;
  std::vector<int> position_T, token_T;
  Floats cos_SD, sin_SD;  // half of D each
  int angles = 0;
  Floats last_TC, final_TC, rstd_T, picked_PC, logits_PV, dpicked_PC, dx_TC, dnorm_TC,
      dqkv_TW, dattended_TX, dswiglu_TF, packed, packed2, scores, turned;
  std::vector<int> row_P, target_P;
  std::vector<float> weight_P;
  std::vector<float> logp_P;

  void angles_up_to(int n, const LlamaConfig& config);
  void lay_out(const std::vector<const TrainExample*>& sequences, const LlamaConfig& config);
};

void Pass::Buffers::angles_up_to(int n, const LlamaConfig& config) {
  if (n <= angles) return;
  const int half = config.head_dim / 2;
  angles = n;
  cos_SD.resize(std::size_t(n) * half);
  sin_SD.resize(std::size_t(n) * half);
  for (int t = 0; t < n; ++t) {
    for (int d = 0; d < half; ++d) {
      const double angle = t * std::pow(config.rope_theta, -2.0 * d / config.head_dim);
      cos_SD[std::size_t(t) * half + d] = float(std::cos(angle));
      sin_SD[std::size_t(t) * half + d] = float(std::sin(angle));
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
  std::size_t probabilities = 0;
  for (const TrainExample* sequence : sequences) {
    const int length = int(sequence->tokens.size()) - 1;
    if (length < 1) continue;
    const std::size_t stride = (std::size_t(length) + 15) / 16 * 16;
    spans.push_back({int(token_T.size()), length, probabilities, stride});
    probabilities += stride * std::size_t(length) * std::size_t(config.num_attention_heads);
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
  for (Saved& layer : layers) sized(layer.probabilities, probabilities);
}

namespace {

// Rotates the first `heads` heads of every row by its position.
void rotate(const Kernels& k, const std::vector<int>& position_T, int heads, int dim, std::size_t row_size,
            float turn, const float* cos_SD, const float* sin_SD, float* rows) {
  const std::size_t half = std::size_t(dim) / 2;
  for (std::size_t t = 0; t < position_T.size(); ++t) {
    const std::size_t at = std::size_t(position_T[t]) * half;
    k.rotate(heads, dim, cos_SD + at, sin_SD + at, turn, rows + t * row_size);
  }
}

// One head of one sequence, forwards. Rows of q, k, v and out are W or X floats apart.
struct Head {
  const Kernels& k;
  int length, dim;
  std::size_t row;  // floats between rows of q, k, v
  float scale;

  void forward(const float* q, const float* key, const float* value, float* probabilities,
               std::size_t stride, float* out, std::size_t out_row, Floats& packed,
               Floats& packed2) const {
    float* keys = sized(packed, packed_size(std::size_t(dim), std::size_t(length)));
    float* values = sized(packed2, packed_size(std::size_t(length), std::size_t(dim)));
    k.pack_cols(dim, length, key, row, keys);
    k.pack_rows(length, dim, value, row, values);
    for (int i = 0; i < length; i += kQueryRows) {
      const int rows = std::min(kQueryRows, length - i);
      const int seen = i + rows;
      float* p = probabilities + std::size_t(i) * stride;
      k.gemm(rows, seen, dim, q + std::size_t(i) * row, row, 1, keys, p, stride, false);
      k.causal_softmax(rows, int(stride), stride, i, scale, p);
    }
    // The panels of values span all k, so each row block may stop at its last seen key only when
    // there is one panel of columns; otherwise zeros beyond the diagonal do no harm.
    const bool one_panel = dim <= kPanel;
    for (int i = 0; i < length; i += kQueryRows) {
      const int rows = std::min(kQueryRows, length - i);
      k.gemm(rows, dim, one_panel ? i + rows : length, probabilities + std::size_t(i) * stride, stride,
             1, values, out + std::size_t(i) * out_row, out_row, false);
    }
  }

  // dq, dk, dv += gradients. `scores` and the packed buffers are scratch.
  void backward(const float* q, const float* key, const float* value, const float* probabilities,
                std::size_t stride, const float* dout, std::size_t out_row, float* dq, float* dkey,
                float* dvalue, Floats& scores, Floats& packed) const {
    const std::size_t n = std::size_t(length);
    float* ds = sized(scores, n * stride);
    // dV = P^T dO
    float* panel = sized(packed, std::max(packed_size(std::size_t(dim), n), packed_size(n, std::size_t(dim))));
    k.pack_rows(length, dim, dout, out_row, panel);
    k.gemm(length, dim, length, probabilities, 1, stride, panel, dvalue, row, true);
    // dP = dO V^T, then through the softmax
    k.pack_cols(dim, length, value, row, panel);
    for (int i = 0; i < length; i += kQueryRows) {
      const int rows = std::min(kQueryRows, length - i);
      const int seen = i + rows;
      float* d = ds + std::size_t(i) * stride;
      for (int r = 0; r < rows; ++r) {
        std::memset(d + std::size_t(r) * stride + seen, 0, sizeof(float) * (stride - std::size_t(seen)));
      }
      k.gemm(rows, seen, dim, dout + std::size_t(i) * out_row, out_row, 1, panel, d, stride, false);
      k.softmax_back(rows, seen, stride, scale, probabilities + std::size_t(i) * stride, d);
    }
    // dQ = dS K
    k.pack_rows(length, dim, key, row, panel);
    k.gemm(length, dim, length, ds, stride, 1, panel, dq, row, true);
    // dK = dS^T Q
    k.pack_rows(length, dim, q, row, panel);
    k.gemm(length, dim, length, ds, 1, stride, panel, dkey, row, true);
  }
};

}  // namespace

Pass::Pass(const Layout& layout, const Kernels& kernels)
    : layout_(layout), kernels_(kernels), buffers_(std::make_unique<Buffers>()) {
  buffers_->layers.resize(layout.layers.size());
}
Pass::~Pass() = default;
Pass::Pass(Pass&&) noexcept = default;

LossSum Pass::run(const Weights& weights, const std::vector<const TrainExample*>& sequences,
                  float scale, float* gradient) {
  const LlamaConfig& config = layout_.config;
  const Kernels& k = kernels_;
  Buffers& b = *buffers_;
  b.lay_out(sequences, config);
  const int t = int(b.token_T.size());
  const int c = config.hidden_size;
  const int f = config.intermediate_size;
  const int dim = config.head_dim;
  const int heads = config.num_attention_heads;
  const int groups = config.num_key_value_heads;
  const int x = heads * dim;
  const int w = x + 2 * groups * dim;
  const float eps = float(config.rms_norm_eps);
  const std::size_t tc = std::size_t(t) * c;
  const float score_scale = 1.0F / std::sqrt(float(dim));
  LossSum sums;
  b.logp_P.assign(b.row_P.size(), 0.0F);
  if (b.row_P.empty()) return sums;

  // Forward.
  for (std::size_t l = 0; l < layout_.layers.size(); ++l) {
    const Layout::Layer& layer = layout_.layers[l];
    Saved& s = b.layers[l];
    float* in = sized(s.in_TC, tc);
    if (l == 0) {
      for (int i = 0; i < t; ++i) {
        std::memcpy(in + std::size_t(i) * c, weights.at(layout_.embed) + std::size_t(b.token_T[std::size_t(i)]) * c,
                    sizeof(float) * std::size_t(c));
      }
    }
    float* norm1 = sized(s.norm1_TC, tc);
    k.rmsnorm(t, c, in, weights.at(layer.input_norm), eps, norm1, sized(s.rstd1_T, std::size_t(t)));
    float* qkv = sized(s.qkv_TW, std::size_t(t) * w);
    k.gemm(t, w, c, norm1, std::size_t(c), 1, weights.forward(layer.qkv), qkv, std::size_t(w), false);
    rotate(k, b.position_T, heads + groups, dim, std::size_t(w), 1.0F, b.cos_SD.data(), b.sin_SD.data(), qkv);
    float* attended = sized(s.attended_TX, std::size_t(t) * x);
    for (const Span& span : b.spans) {
      const Head head{k, span.length, dim, std::size_t(w), score_scale};
      const float* rows = qkv + std::size_t(span.begin) * w;
      for (int h = 0; h < heads; ++h) {
        const int g = h / (heads / groups);
        head.forward(rows + h * dim, rows + x + g * dim, rows + x + (groups + g) * dim,
                     s.probabilities.data() + span.probabilities + std::size_t(h) * span.length * span.stride,
                     span.stride, attended + std::size_t(span.begin) * x + h * dim, std::size_t(x), b.packed,
                     b.packed2);
      }
    }
    float* mid = sized(s.mid_TC, tc);
    std::memcpy(mid, in, sizeof(float) * tc);
    k.gemm(t, c, x, attended, std::size_t(x), 1, weights.forward(layer.out), mid, std::size_t(c), true);
    float* norm2 = sized(s.norm2_TC, tc);
    k.rmsnorm(t, c, mid, weights.at(layer.post_norm), eps, norm2, sized(s.rstd2_T, std::size_t(t)));
    float* gate_up = sized(s.gate_up_TF2, std::size_t(t) * 2 * f);
    k.gemm(t, 2 * f, c, norm2, std::size_t(c), 1, weights.forward(layer.gate_up), gate_up, std::size_t(2 * f), false);
    float* swiglu = sized(s.swiglu_TF, std::size_t(t) * f);
    k.swiglu(t, f, gate_up, swiglu);
    float* out = l + 1 < b.layers.size() ? sized(b.layers[l + 1].in_TC, tc) : sized(b.last_TC, tc);
    std::memcpy(out, mid, sizeof(float) * tc);
    k.gemm(t, c, f, swiglu, std::size_t(f), 1, weights.forward(layer.down), out, std::size_t(c), true);
  }
  float* normed = sized(b.final_TC, tc);
  k.rmsnorm(t, c, b.last_TC.data(), weights.at(layout_.norm), eps, normed, sized(b.rstd_T, std::size_t(t)));

  // Loss, and the gradient with respect to the final norm's output, a block of rows at a time.
  const int v = config.vocab_size;
  const int positions = int(b.row_P.size());
  float* dnormed = sized(b.dnorm_TC, tc);
  if (gradient) std::memset(dnormed, 0, sizeof(float) * tc);
  float* picked = sized(b.picked_PC, std::size_t(kLossRows) * c);
  float* dpicked = sized(b.dpicked_PC, std::size_t(kLossRows) * c);
  float* logits = sized(b.logits_PV, std::size_t(kLossRows) * v);
  for (int p0 = 0; p0 < positions; p0 += kLossRows) {
    const int rows = std::min(kLossRows, positions - p0);
    for (int i = 0; i < rows; ++i) {
      std::memcpy(picked + std::size_t(i) * c, normed + std::size_t(b.row_P[std::size_t(p0 + i)]) * c,
                  sizeof(float) * std::size_t(c));
    }
    k.gemm(rows, v, c, picked, std::size_t(c), 1, weights.forward(layout_.head), logits, std::size_t(v), false);
    for (int i = 0; i < rows; ++i) {
      const std::size_t p = std::size_t(p0 + i);
      const double nll = k.cross_entropy(v, logits + std::size_t(i) * v, b.target_P[p], b.weight_P[p] * scale);
      b.logp_P[p] = float(-nll);
      sums.loss += double(b.weight_P[p]) * nll;
      sums.weight += double(b.weight_P[p]);
    }
    if (!gradient) continue;
    k.gemm(rows, c, v, logits, std::size_t(v), 1, weights.backward(layout_.head), dpicked, std::size_t(c), false);
    float* panel = sized(b.packed, packed_size(std::size_t(rows), std::size_t(c)));
    k.pack_rows(rows, c, picked, std::size_t(c), panel);
    k.gemm(v, c, rows, logits, 1, std::size_t(v), panel, gradient + layout_.head, std::size_t(c), true);
    for (int i = 0; i < rows; ++i) {
      std::memcpy(dnormed + std::size_t(b.row_P[std::size_t(p0 + i)]) * c, dpicked + std::size_t(i) * c,
                  sizeof(float) * std::size_t(c));
    }
  }
  if (!gradient) return sums;

  // Backward. dx is the gradient of the residual stream.
  float* dx = sized(b.dx_TC, tc);
  std::memset(dx, 0, sizeof(float) * tc);
  k.rmsnorm_back(t, c, b.last_TC.data(), weights.at(layout_.norm), b.rstd_T.data(), dnormed, dx,
                 gradient + layout_.norm);
  float* panel = sized(b.turned, packed_size(std::size_t(t), std::size_t(std::max({c, f, x}))));
  for (std::size_t l = layout_.layers.size(); l-- > 0;) {
    const Layout::Layer& layer = layout_.layers[l];
    Saved& s = b.layers[l];
    float* dnorm = b.dnorm_TC.data();
    // Feed-forward: out = mid + swiglu Wdown^T
    float* dswiglu = sized(b.dswiglu_TF, std::size_t(t) * f);
    k.gemm(t, f, c, dx, std::size_t(c), 1, weights.backward(layer.down), dswiglu, std::size_t(f), false);
    k.pack_rows(t, f, s.swiglu_TF.data(), std::size_t(f), panel);
    k.gemm(c, f, t, dx, 1, std::size_t(c), panel, gradient + layer.down, std::size_t(f), true);
    k.swiglu_back(t, f, s.gate_up_TF2.data(), dswiglu);
    const float* dgate_up = s.gate_up_TF2.data();
    k.gemm(t, c, 2 * f, dgate_up, std::size_t(2 * f), 1, weights.backward(layer.gate_up), dnorm, std::size_t(c), false);
    k.pack_rows(t, c, s.norm2_TC.data(), std::size_t(c), panel);
    k.gemm(2 * f, c, t, dgate_up, 1, std::size_t(2 * f), panel, gradient + layer.gate_up, std::size_t(c), true);
    k.rmsnorm_back(t, c, s.mid_TC.data(), weights.at(layer.post_norm), s.rstd2_T.data(), dnorm, dx,
                   gradient + layer.post_norm);
    // Attention: mid = in + attended Wout^T
    float* dattended = sized(b.dattended_TX, std::size_t(t) * x);
    k.gemm(t, x, c, dx, std::size_t(c), 1, weights.backward(layer.out), dattended, std::size_t(x), false);
    k.pack_rows(t, x, s.attended_TX.data(), std::size_t(x), panel);
    k.gemm(c, x, t, dx, 1, std::size_t(c), panel, gradient + layer.out, std::size_t(x), true);
    float* dqkv = sized(b.dqkv_TW, std::size_t(t) * w);
    std::memset(dqkv, 0, sizeof(float) * std::size_t(t) * w);
    for (const Span& span : b.spans) {
      const Head head{k, span.length, dim, std::size_t(w), score_scale};
      const float* rows = s.qkv_TW.data() + std::size_t(span.begin) * w;
      float* drows = dqkv + std::size_t(span.begin) * w;
      for (int h = 0; h < heads; ++h) {
        const int g = h / (heads / groups);
        head.backward(rows + h * dim, rows + x + g * dim, rows + x + (groups + g) * dim,
                      s.probabilities.data() + span.probabilities + std::size_t(h) * span.length * span.stride,
                      span.stride, dattended + std::size_t(span.begin) * x + h * dim, std::size_t(x),
                      drows + h * dim, drows + x + g * dim, drows + x + (groups + g) * dim, b.scores, b.packed);
      }
    }
    rotate(k, b.position_T, heads + groups, dim, std::size_t(w), -1.0F, b.cos_SD.data(), b.sin_SD.data(), dqkv);
    k.gemm(t, c, w, dqkv, std::size_t(w), 1, weights.backward(layer.qkv), dnorm, std::size_t(c), false);
    k.pack_rows(t, c, s.norm1_TC.data(), std::size_t(c), panel);
    k.gemm(w, c, t, dqkv, 1, std::size_t(w), panel, gradient + layer.qkv, std::size_t(c), true);
    k.rmsnorm_back(t, c, s.in_TC.data(), weights.at(layer.input_norm), s.rstd1_T.data(), dnorm, dx,
                   gradient + layer.input_norm);
  }
  for (int i = 0; i < t; ++i) {
    float* row = gradient + layout_.embed + std::size_t(b.token_T[std::size_t(i)]) * c;
    const float* d = dx + std::size_t(i) * c;
    for (int j = 0; j < c; ++j) row[j] += d[j];
  }
  return sums;
}

std::vector<float> Pass::logprobs(const Weights& weights, const TrainExample& sequence) {
  TrainExample all{sequence.tokens, std::vector<float>(sequence.tokens.size(), 1.0F)};
  run(weights, {&all}, 1.0F, nullptr);
  std::vector<float> result(sequence.tokens.size(), 0.0F);
  std::copy(buffers_->logp_P.begin(), buffers_->logp_P.end(), result.begin() + (result.empty() ? 0 : 1));
  return result;
}

}  // namespace precept::nn
