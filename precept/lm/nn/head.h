#pragma once
// Backward attention of one head of one sequence, and scratch that grows. Inside nn/ only.

#include <algorithm>
#include <cstring>

#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/memory.h"

namespace precept::nn {

inline constexpr int kQueryRows = 56;  // rows of attention scores computed together

// At least n floats of `v`; what is in them is nobody's.
inline float* sized(Floats& v, std::size_t n) {
  if (v.size() < n) v.resize(n);
  return v.data();
}

// Rows of q, k, v are W floats apart, those of out X.
struct Head {
  const Kernels& k;
  int length, dim;
  std::size_t row;  // floats between rows of q, k, v
  float scale;
  int window;       // a position sees the last `window` of those up to itself; 0: all

  // Probabilities of every row over all keys, `stride` apart. `packed` is scratch.
  void probabilities(const float* q, const float* key, float* p_SS, std::size_t stride, Floats& packed) const {
    float* keys = sized(packed, packed_size(std::size_t(dim), std::size_t(length)));
    k.pack_cols(dim, length, key, row, keys);
    for (int i = 0; i < length; i += kQueryRows) {
      const int rows = std::min(kQueryRows, length - i);
      float* p = p_SS + std::size_t(i) * stride;
      k.gemm(rows, i + rows, dim, q + std::size_t(i) * row, row, 1, keys, p, stride, false);
      k.causal_softmax(rows, int(stride), stride, i, window, scale, p);
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

}  // namespace precept::nn
