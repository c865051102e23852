// The kernels themselves, compiled once for each instruction set: the including file defines
// PRECEPT_KERNELS (the table's name) and PRECEPT_KERNELS_NAME, and is built with that set's flags.
// No include guard and nothing with external linkage but the table: each set must keep its own code.

#include <bit>
#include <cmath>
#include <cstring>

#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/kernels_turn.h"

namespace precept::nn {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 14;  // 28 sums, 2 columns of B, 2 spare registers
#elif defined(__AVX2__)
constexpr int kRows = 3;  // 12 sums, 4 columns of B
#else
constexpr int kRows = 1;
#endif
constexpr int kVectors = kPanel / kWidth;

// exp for every finite x, within 2 ulp where the result is normal; underflows to 0. Branch-free, so
// that loops over it vectorise. Degree-6 polynomial on [-ln2/2, ln2/2] after Cody-Waite reduction.
inline float fast_exp(float x) {
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  const auto nearest = static_cast<std::int32_t>(x * 1.44269504F + (x < 0.0F ? -0.5F : 0.5F));
  const float n = static_cast<float>(nearest);
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.3888889e-3F;
  p = p * r + 8.3333333e-3F;
  p = p * r + 4.1666667e-2F;
  p = p * r + 1.6666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * std::bit_cast<float>((nearest + 127) << 23);
}

void pack_rows(int k, int n, const float* b, std::size_t ldb, float* packed) {
  for (int j = 0; j < n; j += kPanel) {
    const int width = n - j < kPanel ? n - j : kPanel;
    const float* source = b + j;
    for (int i = 0; i < k; ++i, source += ldb, packed += kPanel) {
      if (width == kPanel) {
        std::memcpy(packed, source, sizeof(float) * kPanel);
      } else {
        for (int x = 0; x < kPanel; ++x) packed[x] = x < width ? source[x] : 0.0F;
      }
    }
  }
}

constexpr int kTiles = 4;      // tiles of rows copied together
constexpr int kTileRows = 16;  // floats from one k to the next in a copied tile
constexpr int kDepth = kDepthLanes;
static_assert(kRows <= kTileRows && kWidth <= kTileRows);

// One tile: R rows of C and one panel.
template <int R>
void tile(int k, const float* __restrict a, const float* __restrict panel, float* __restrict c,
          std::size_t ldc, int width, bool add) {
  Vec sum[R][kVectors];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec{};
  }
  for (int i = 0; i < k; ++i, panel += kPanel, a += kTileRows) {
    Vec b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = *reinterpret_cast<const Vec*>(panel + v * kWidth);
#pragma GCC unroll 14
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[r][v] += a[r] * b[v];
    }
  }
  for (int r = 0; r < R; ++r) {
    float* row = c + r * ldc;
    if (width == kPanel) {
      for (int v = 0; v < kVectors; ++v) {
        Vec* out = reinterpret_cast<Vec*>(row + v * kWidth);
        *out = add ? *out + sum[r][v] : sum[r][v];
      }
    } else {
      float last[kPanel];
      std::memcpy(last, sum[r], sizeof last);
      for (int x = 0; x < width; ++x) row[x] = add ? row[x] + last[x] : last[x];
    }
  }
}

template <int R>
void tile_of(int rows, int k, const float* a, const float* panel, float* c, std::size_t ldc, int width,
             bool add) {
  if constexpr (R >= 1) {
    if (rows == R) return tile<R>(k, a, panel, c, ldc, width, add);
    tile_of<R - 1>(rows, k, a, panel, c, ldc, width, add);
  }
}

void pack_cols(int k, int n, const float* w, std::size_t ldw, float* packed) {
  for (int j = 0; j < n; j += kPanel, packed += std::size_t(k) * kPanel) {
    for (int x = 0; x < kPanel; x += kTileRows) {
      const int left = n - j - x;
      if (left > 0) {
        const int rows = left < kTileRows ? left : kTileRows;
        turn(rows, k, w + std::size_t(j + x) * ldw, ldw, packed + x, kPanel);
      }
      // Whole columns beyond the last: turn() left what lies beyond the vectors it wrote.
      const int written = left <= 0 ? 0 : (left + kWidth - 1) / kWidth * kWidth;
      for (int i = 0; written < kTileRows && i < k; ++i) {
        for (int r = written; r < kTileRows; ++r) packed[std::size_t(i) * kPanel + x + r] = 0.0F;
      }
    }
  }
}

void turn_panels(int rows, int cols, const float* packed, std::size_t panel, float* turned) {
  for (int r = 0; r < rows; r += kPanel, packed += panel) {
    const int some = rows - r < kPanel ? rows - r : kPanel;
    for (int c = 0; c < cols; c += kPanel) {
      const int width = cols - c < kPanel ? cols - c : kPanel;
      pack_cols(some, width, packed + std::size_t(c) * kPanel, kPanel, turned + std::size_t(c) * rows + std::size_t(r) * kPanel);
    }
  }
}

// Copies k columns of A's rows first..first + rows - 1 into tiles.
void copy_block(int rows, int k, const float* a, std::size_t row, std::size_t col, float* tiles) {
  for (int r = 0; r < rows; r += kRows, tiles += k * kTileRows) {
    const int some = rows - r < kRows ? rows - r : kRows;
    if (col == 1) {
      turn(some, k, a + r * row, row, tiles, kTileRows);
    } else if (some == kRows) {
      for (int i = 0; i < k; ++i) std::memcpy(tiles + i * kTileRows, a + i * col + r, sizeof(float) * kRows);
    } else {
      for (int i = 0; i < k; ++i) {
        for (int x = 0; x < some; ++x) tiles[i * kTileRows + x] = a[i * col + r + x];
      }
    }
  }
}

// A block of A's rows is copied (in place its lines, a large stride apart, would evict each other);
// then every panel passes over it.
void gemm(int m, int n, int k, const float* a, std::size_t row, std::size_t col,
          const float* packed, float* c, std::size_t ldc, bool add) {
  alignas(64) thread_local float tiles[kTiles * kTileRows * kDepth];
  constexpr int kBlock = kTiles * kRows;
  for (int k0 = 0; k0 < k; k0 += kDepth) {
    const int depth = k - k0 < kDepth ? k - k0 : kDepth;
    for (int i0 = 0; i0 < m; i0 += kBlock) {
      const int count = m - i0 < kBlock ? m - i0 : kBlock;
      copy_block(count, depth, a + i0 * row + k0 * col, row, col, tiles);
      const float* panel = packed + std::size_t(k0) * kPanel;
      for (int j = 0; j < n; j += kPanel, panel += std::size_t(k) * kPanel) {
        const int width = n - j < kPanel ? n - j : kPanel;
        const float* tile_a = tiles;
        for (int i = 0; i < count; i += kRows, tile_a += depth * kTileRows) {
          const int rows = count - i < kRows ? count - i : kRows;
          tile_of<kRows>(rows, depth, tile_a, panel, c + (i0 + i) * ldc + j, ldc, width, add || k0 > 0);
        }
      }
    }
  }
}

void rmsnorm(int t, int c, const float* x, const float* w, float eps, float* y, float* rstd) {
  for (int i = 0; i < t; ++i, x += c, y += c) {
    float squares = 0.0F;
#pragma omp simd reduction(+ : squares)
    for (int j = 0; j < c; ++j) squares += x[j] * x[j];
    const float r = 1.0F / std::sqrt(squares / float(c) + eps);
    rstd[i] = r;
#pragma omp simd
    for (int j = 0; j < c; ++j) y[j] = x[j] * r * w[j];
  }
}

void rmsnorm_back(int t, int c, const float* x, const float* w, const float* rstd, const float* dy,
                  float* dx, float* dw) {
  for (int i = 0; i < t; ++i, x += c, dy += c, dx += c) {
    const float r = rstd[i];
    float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
    for (int j = 0; j < c; ++j) dot += dy[j] * w[j] * x[j];
    const float pull = dot * r * r * r / float(c);
#pragma omp simd
    for (int j = 0; j < c; ++j) {
      dx[j] += dy[j] * w[j] * r - x[j] * pull;
      dw[j] += dy[j] * x[j] * r;
    }
  }
}

void swiglu(int t, int f, const float* gate_up, float* s) {
  for (int i = 0; i < t; ++i, gate_up += 2 * f, s += f) {
    const float* up = gate_up + f;
#pragma omp simd
    for (int j = 0; j < f; ++j) s[j] = gate_up[j] / (1.0F + fast_exp(-gate_up[j])) * up[j];
  }
}

void swiglu_back(int t, int f, float* gate_up, const float* ds) {
  for (int i = 0; i < t; ++i, gate_up += 2 * f, ds += f) {
    float* up = gate_up + f;
#pragma omp simd
    for (int j = 0; j < f; ++j) {
      const float g = gate_up[j];
      const float sigmoid = 1.0F / (1.0F + fast_exp(-g));
      const float silu = g * sigmoid;
      gate_up[j] = ds[j] * up[j] * (sigmoid + silu * (1.0F - sigmoid));
      up[j] = ds[j] * silu;
    }
  }
}

void causal_softmax(int rows, int n, std::size_t lds, int first, int window, float scale, float* row) {
  for (int i = 0; i < rows; ++i, row += lds) {
    const int from = window > 0 && first + i + 1 > window ? first + i + 1 - window : 0;
    const int seen = first + i + 1 - from;
    float* s = row + from;
    float top = s[0];
#pragma omp simd reduction(max : top)
    for (int j = 1; j < seen; ++j) top = s[j] > top ? s[j] : top;
    float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < seen; ++j) {
      s[j] = fast_exp((s[j] - top) * scale);
      sum += s[j];
    }
    const float share = 1.0F / sum;
    for (int j = 0; j < seen; ++j) s[j] *= share;
    for (int j = 0; j < from; ++j) row[j] = 0.0F;
    for (int j = from + seen; j < n; ++j) row[j] = 0.0F;
  }
}

void softmax_back(int rows, int n, std::size_t lds, float scale, const float* p, float* dp) {
  for (int i = 0; i < rows; ++i, p += lds, dp += lds) {
    float dot = 0.0F;
#pragma omp simd reduction(+ : dot)
    for (int j = 0; j < n; ++j) dot += p[j] * dp[j];
#pragma omp simd
    for (int j = 0; j < n; ++j) dp[j] = p[j] * (dp[j] - dot) * scale;
  }
}

void rotate(int heads, int dim, const float* cosine, const float* sine, float sign, float* row) {
  const int half = dim / 2;
  for (int h = 0; h < heads; ++h, row += dim) {
#pragma omp simd
    for (int d = 0; d < half; ++d) {
      const float a = row[d];
      const float b = row[d + half];
      row[d] = a * cosine[d] - sign * b * sine[d];
      row[d + half] = b * cosine[d] + sign * a * sine[d];
    }
  }
}

}  // namespace

extern const Kernels PRECEPT_KERNELS;
const Kernels PRECEPT_KERNELS = {PRECEPT_KERNELS_NAME, 1,      pack_rows,   pack_cols,      turn_panels,  gemm,  rmsnorm,
                                 rmsnorm_back,         swiglu, swiglu_back, causal_softmax, softmax_back, rotate};

}  // namespace precept::nn
