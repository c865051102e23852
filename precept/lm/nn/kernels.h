#pragma once
// Single-threaded fp32 kernels of the trainer, chosen once for the processor at hand. All matrices are
// row-major. Sums run over k in order, so a row of a product has the same bits whatever the other rows.
//
// Shapes: T tokens (all sequences of a chunk, packed), C hidden, N output features, D head width.

#include <cstddef>
#include <cstdint>

namespace precept::nn {

inline constexpr int kPanel = 32;         // columns of one packed panel
inline constexpr int kDepthLanes = 1024;  // of 32 bits along k that a product sums before it adds to C: what is copied of A stays in the second cache

// Floats that a packed K x N matrix takes at most.
constexpr std::size_t packed_size(std::size_t k, std::size_t n) {
  return (n + kPanel - 1) / kPanel * kPanel * k;
}

struct Kernels {
  const char* name;
  int pair;  // values of a column, neighbours along k, that share one float of a packed matrix
  // Packs B (K x N, leading dimension ldb) into panels of kPanel columns, zero-padded.
  void (*pack_rows)(int k, int n, const float* b, std::size_t ldb, float* packed);
  // Packs the transpose of W (N x K, leading dimension ldw), so that gemm computes A W^T.
  void (*pack_cols)(int k, int n, const float* w, std::size_t ldw, float* packed);
  // Turns panels of `rows` outputs of W with `cols` inputs each (as pack_cols makes them, `panel` floats from one to the next; where the
  // last one is not full it is W's last) into those that pack_rows makes of the same rows, so that gemm computes A W.
  void (*turn_panels)(int rows, int cols, const float* packed, std::size_t panel, float* turned);
  // C (M x N, ldc) = A B, or += with `add`. Sums over k are made kDepthLanes lanes at a time, and each is added to C.
  // A's element (i, k) is a[i * row + k * col]; row or col is 1.
  void (*gemm)(int m, int n, int k, const float* a, std::size_t row, std::size_t col,
               const float* packed, float* c, std::size_t ldc, bool add);
  // y = x * rstd * w with rstd = 1 / sqrt(mean(x^2) + eps), kept in rstd[t].
  void (*rmsnorm)(int t, int c, const float* x, const float* w, float eps, float* y, float* rstd);
  // dx += gradient through the norm; dw += its weight's gradient.
  void (*rmsnorm_back)(int t, int c, const float* x, const float* w, const float* rstd,
                       const float* dy, float* dx, float* dw);
  // s = silu(gate) * up, with gate and up side by side in rows of 2 f.
  void (*swiglu)(int t, int f, const float* gate_up, float* s);
  // Turns gate_up into its own gradient, given ds.
  void (*swiglu_back)(int t, int f, float* gate_up, const float* ds);
  // Rows of scores s (rows x n, lds): softmax of s * scale over the last `window` (0: all) of the columns
  // 0..first + row, 0 elsewhere.
  void (*causal_softmax)(int rows, int n, std::size_t lds, int first, int window, float scale, float* s);
  // dp becomes ds * scale: p * (dp - sum(p * dp)) * scale.
  void (*softmax_back)(int rows, int n, std::size_t lds, float scale, const float* p, float* dp);
  // Rotates element d of each of a row's heads with element d + dim / 2 by an angle with these cosines
  // and sines (dim / 2 each); turn -1 undoes turn 1, and is its gradient too.
  void (*rotate)(int heads, int dim, const float* cosine, const float* sine, float turn, float* row);
};

// Floats that this table's packed K x N matrix takes. One of K x n is its beginning where n is a multiple of kPanel.
inline std::size_t packed_size(const Kernels& kernels, int k, int n) {
  return packed_size(std::size_t((k + kernels.pair - 1) / kernels.pair), std::size_t(n));
}

const Kernels& kernels();           // the fastest this processor runs
const Kernels& portable_kernels();  // plain C++, for comparison
// Products of factors rounded to bf16 with fp32 sums, of half the memory; null where the processor has no instructions for
// bf16. A matrix packed by one table is read by the same table only.
const Kernels* bf16_kernels();
const Kernels& kernels(bool bf16);  // those where they are wanted and there are any, else kernels()

}  // namespace precept::nn
