// Legend: B rows of a block; S keys that it sees.
#include "precept/lm/nn/head.h"

#include <algorithm>
#include <cmath>

namespace precept::nn {

void Head::backward(const float* q, const float* key, const float* value, const float* dout, float* dq, float* dkey, float* dvalue) const {
  const float scale = 1.0F / std::sqrt(float(dim));
  float* keys = sized(scratch.keys, packed_size(k, dim, length));
  float* values = sized(scratch.values, packed_size(k, dim, length));
  k.pack_cols(dim, length, key, row, keys);
  k.pack_cols(dim, length, value, row, values);
  const int block = std::min(length, kBlockRows);
  const int most = window > 0 && window < length ? std::min(length, window + kBlockRows + kPanel) : length;  // keys that a block sees
  const std::size_t stride = 16 * ((std::size_t(most) + 15) / 16 | 1);  // odd in cache lines, or rows evict each other
  float* p_BS = sized(scratch.p_BS, std::size_t(block) * stride);
  float* ds_BS = sized(scratch.ds_BS, std::size_t(block) * stride);
  float* factor = sized(scratch.factor, packed_size(k, std::max(most, block), dim));
  for (int begin = 0; begin < length; begin += kBlockRows) {
    const int rows = std::min(kBlockRows, length - begin);
    const int first = window > 0 ? std::max(0, begin + 1 - window) / kPanel * kPanel : 0;  // whole panels of keys are skipped
    const int seen = begin + rows - first;
    const float* q_B = q + std::size_t(begin) * row;
    const float* dout_B = dout + std::size_t(begin) * out_row;
    // P = softmax(Q K^T), dP = dO V^T, and dS
    k.gemm(rows, seen, dim, q_B, row, 1, keys + packed_size(k, dim, first), p_BS, stride, false);
    k.causal_softmax(rows, seen, stride, begin - first, window, scale, p_BS);
    k.gemm(rows, seen, dim, dout_B, out_row, 1, values + packed_size(k, dim, first), ds_BS, stride, false);
    k.softmax_back(rows, seen, stride, scale, p_BS, ds_BS);
    // dV += P^T dO
    k.pack_rows(rows, dim, dout_B, out_row, factor);
    k.gemm(seen, dim, rows, p_BS, 1, stride, factor, dvalue + std::size_t(first) * row, row, true);
    // dQ += dS K
    k.pack_rows(seen, dim, key + std::size_t(first) * row, row, factor);
    k.gemm(rows, dim, seen, ds_BS, stride, 1, factor, dq + std::size_t(begin) * row, row, true);
    // dK += dS^T Q
    k.pack_rows(rows, dim, q_B, row, factor);
    k.gemm(seen, dim, rows, ds_BS, 1, stride, factor, dkey + std::size_t(first) * row, row, true);
  }
}

}  // namespace precept::nn
