// Products of bf16 values with sums in fp32, for processors that have AVX-512 BF16; everything but the products
// is that of the AVX-512 set. Built with that instruction set's flags; run only where the processor has it
// (kernels.cpp asks). Both factors are rounded to bf16 (nearest, ties to even) while they are copied, two
// neighbours along k to a 32-bit lane: a packed matrix takes half the floats of fp32.
//
// Pairs are multiplied by vdpbf16ps or, where that is slow (`widened`), as floats: A's are widened when they are
// copied, the packed matrix's in the loop, once for all rows of a tile.

#include <immintrin.h>

#include <cstring>

#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/kernels_turn.h"

namespace precept::nn {

extern const Kernels kAvx512Kernels;

namespace {

constexpr int kRows = 14, kWideRows = 12;  // of a tile: 28 sums, 2 columns of B, 1 of A; 24, 4, 2
constexpr int kTiles = 4;                  // tiles of rows copied together
constexpr int kTileRows = 16;              // lanes from one pair of k to the next in a copied tile; widened: twice as many floats
constexpr int kPairs = kDepthLanes;
constexpr int kDepth = 2 * kPairs;

using Words [[gnu::vector_size(64), gnu::may_alias, gnu::aligned(4)]] = std::uint32_t;

// The first values of pairs as floats, and the second ones.
[[gnu::always_inline]] inline __m512 firsts(Words pairs) { return __m512(pairs << 16); }
[[gnu::always_inline]] inline __m512 seconds(Words pairs) { return __m512(pairs & 0xFFFF0000U); }

constexpr int pairs_of(int k) { return (k + 1) / 2; }

__mmask16 first(int count) { return count >= 16 ? __mmask16(0xffff) : __mmask16((1U << count) - 1U); }

// k floats become pairs_of(k) lanes; an odd last one is paired with 0.
void halve(int k, const float* from, float* to) {
  int i = 0;
  for (; i + 32 <= k; i += 32, to += 16) {
    const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + 16), _mm512_loadu_ps(from + i));
    _mm512_storeu_si512(to, __m512i(both));
  }
  if (i == k) return;
  const int left = k - i;
  const __m512 low = _mm512_maskz_loadu_ps(first(left), from + i);
  const __m512 high = left > 16 ? _mm512_maskz_loadu_ps(first(left - 16), from + i + 16) : _mm512_setzero_ps();
  _mm512_mask_storeu_epi32(to, first(pairs_of(left)), __m512i(_mm512_cvtne2ps_pbh(high, low)));
}

// Lane x: (row[x], next[x]), for the first `count` of 16; `next` may be null.
void interleave(int count, const float* row, const float* next, float* to) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20,
                                         4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512 low = _mm512_maskz_loadu_ps(first(count), row);
  const __m512 high = next ? _mm512_maskz_loadu_ps(first(count), next) : _mm512_setzero_ps();
  _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, __m512i(_mm512_cvtne2ps_pbh(high, low))));
}

void pack_rows(int k, int n, const float* b, std::size_t ldb, float* packed) {
  for (int j = 0; j < n; j += kPanel) {
    const float* row = b + j;
    for (int i = 0; i < k; i += 2, row += 2 * ldb, packed += kPanel) {
      const float* next = i + 1 < k ? row + ldb : nullptr;
      for (int x = 0; x < kPanel; x += 16) {
        const int left = n - j - x;
        if (left > 0) interleave(left, row + x, next ? next + x : nullptr, packed + x);
        else _mm512_storeu_ps(packed + x, _mm512_setzero_ps());
      }
    }
  }
}

void pack_cols(int k, int n, const float* w, std::size_t ldw, float* packed) {
  alignas(64) float lanes[16 * kPairs];
  for (int j = 0; j < n; j += kPanel, packed += std::size_t(pairs_of(k)) * kPanel) {
    for (int x = 0; x < kPanel; x += 16) {
      const int rows = n - j - x < 16 ? n - j - x : 16;  // not above 0: only padding is left
      if (rows < 16) std::memset(lanes, 0, sizeof lanes);
      for (int k0 = 0; k0 < k; k0 += kDepth) {
        const int depth = k - k0 < kDepth ? k - k0 : kDepth;
        for (int r = 0; r < rows; ++r) halve(depth, w + std::size_t(j + x + r) * ldw + k0, lanes + r * kPairs);
        turn(16, pairs_of(depth), lanes, kPairs, packed + std::size_t(k0 / 2) * kPanel + x, kPanel);
      }
    }
  }
}

// A block of 32 x 32 values. A lane read has two neighbours of a row, a lane written two of a column: the words of two rows come
// together first, then lanes are transposed.
void turn_block(const float* from, float* to) {
  const __m512i low = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30, 28, 26, 24, 22, 20, 18,
                                       16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i high = _mm512_or_si512(low, _mm512_set1_epi16(1));
  for (int half = 0; half < 2; ++half, from += 8 * kPanel, to += 16) {
    Vec v[16];  // by column
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const __m512i a = _mm512_loadu_si512(from + i * kPanel), b = _mm512_loadu_si512(from + i * kPanel + 16);
      v[2 * i] = Vec(_mm512_permutex2var_epi16(a, low, b));
      v[2 * i + 1] = Vec(_mm512_permutex2var_epi16(a, high, b));
    }
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) *reinterpret_cast<Vec*>(to + i * kPanel) = v[i];
  }
}

void turn_panels(int rows, int cols, const float* packed, std::size_t panel, float* turned) {
  const int depth = pairs_of(rows);
  for (int r = 0; r < depth; r += 16, packed += panel) {
    for (int c = 0; c < cols; c += kPanel) {
      const float* from = packed + std::size_t(c) / 2 * kPanel;
      float* to = turned + std::size_t(c) * depth + std::size_t(r) * kPanel;
      const int lanes = pairs_of(cols - c), some = depth - r;
      if (lanes >= 16 && some >= 16) {
        turn_block(from, to);
      } else {
        alignas(64) float in[16 * kPanel] = {}, out[16 * kPanel];
        std::memcpy(in, from, sizeof(float) * kPanel * (lanes < 16 ? lanes : 16));
        turn_block(in, out);
        std::memcpy(to, out, sizeof(float) * kPanel * (some < 16 ? some : 16));
      }
    }
  }
}

// Copies k columns of A's rows 0..rows - 1 into tiles of kRows; widened, of kWideRows, and of each pair all first values and then all
// second ones.
template <bool kWiden>
void copy_block(int rows, int k, const float* a, std::size_t row, std::size_t col, float* tiles) {
  constexpr int kOf = kWiden ? kWideRows : kRows, kStep = kWiden ? 2 * kTileRows : kTileRows;
  alignas(64) float lanes[kRows * kPairs];
  for (int r = 0; r < rows; r += kOf, tiles += pairs_of(k) * kStep) {
    const int some = rows - r < kOf ? rows - r : kOf;
    if (col == 1) {
      for (int x = 0; x < some; ++x) halve(k, a + (r + x) * row, lanes + x * kPairs);
      turn(some, pairs_of(k), lanes, kPairs, tiles, kStep);
    } else {
      for (int i = 0; i < k; i += 2) {
        const float* here = a + i * col + r;
        interleave(some, here, i + 1 < k ? here + col : nullptr, tiles + i / 2 * kStep);
      }
    }
    for (int i = 0; kWiden && i < pairs_of(k); ++i) {
      float* at = tiles + i * kStep;
      const Words pairs = *reinterpret_cast<const Words*>(at);
      _mm512_storeu_ps(at, firsts(pairs));
      _mm512_storeu_ps(at + kTileRows, seconds(pairs));
    }
  }
}

// What R rows of a tile and one pair of a panel add to their sums, in the order of RowKernels::product.
template <int R, bool kWiden>
[[gnu::always_inline]] inline void add_pair(__m512 (&sum)[R][2], const float* a, const float* panel) {
  if constexpr (kWiden) {
    const Words b0 = *reinterpret_cast<const Words*>(panel), b1 = *reinterpret_cast<const Words*>(panel + 16);
    const __m512 low0 = firsts(b0), high0 = seconds(b0), low1 = firsts(b1), high1 = seconds(b1);
#pragma GCC unroll 14
    for (int r = 0; r < R; ++r) {
      const __m512 first = _mm512_set1_ps(a[r]), second = _mm512_set1_ps(a[kTileRows + r]);
      sum[r][0] = _mm512_fmadd_ps(second, high0, _mm512_fmadd_ps(first, low0, sum[r][0]));
      sum[r][1] = _mm512_fmadd_ps(second, high1, _mm512_fmadd_ps(first, low1, sum[r][1]));
    }
  } else {
    const auto b0 = __m512bh(_mm512_loadu_ps(panel)), b1 = __m512bh(_mm512_loadu_ps(panel + 16));
#pragma GCC unroll 14
    for (int r = 0; r < R; ++r) {
      const auto lane = __m512bh(_mm512_set1_ps(a[r]));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], lane, b0);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], lane, b1);
    }
  }
}

// One tile: R rows of C and one panel.
template <int R, bool kWiden>
void tile(int pairs, const float* __restrict a, const float* __restrict panel, float* __restrict c, std::size_t ldc,
          int width, bool add) {
  __m512 sum[R][2];
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (int i = 0; i < pairs; ++i, panel += kPanel, a += kWiden ? 2 * kTileRows : kTileRows) add_pair<R, kWiden>(sum, a, panel);
  const __mmask16 masks[2] = {first(width < 16 ? width : 16), first(width > 16 ? width - 16 : 0)};
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < 2; ++v) {
      float* out = c + r * ldc + v * 16;
      const __m512 was = add ? _mm512_maskz_loadu_ps(masks[v], out) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(out, masks[v], _mm512_add_ps(was, sum[r][v]));
    }
  }
}

template <int R, bool kWiden>
void tile_of(int rows, int pairs, const float* a, const float* panel, float* c, std::size_t ldc, int width, bool add) {
  if constexpr (R >= 1) {
    if (rows == R) return tile<R, kWiden>(pairs, a, panel, c, ldc, width, add);
    tile_of<R - 1, kWiden>(rows, pairs, a, panel, c, ldc, width, add);
  }
}

template <bool kWiden>
void gemm(int m, int n, int k, const float* a, std::size_t row, std::size_t col, const float* packed, float* c,
          std::size_t ldc, bool add) {
  constexpr int kOf = kWiden ? kWideRows : kRows, kStep = kWiden ? 2 * kTileRows : kTileRows, kBlock = kTiles * kOf;
  alignas(64) thread_local float tiles[kTiles * kStep * kPairs];
  for (int k0 = 0; k0 < k; k0 += kDepth) {
    const int depth = k - k0 < kDepth ? k - k0 : kDepth;
    const int pairs = pairs_of(depth);
    for (int i0 = 0; i0 < m; i0 += kBlock) {
      const int count = m - i0 < kBlock ? m - i0 : kBlock;
      copy_block<kWiden>(count, depth, a + i0 * row + k0 * col, row, col, tiles);
      const float* panel = packed + std::size_t(k0 / 2) * kPanel;
      for (int j = 0; j < n; j += kPanel, panel += std::size_t(pairs_of(k)) * kPanel) {
        const int width = n - j < kPanel ? n - j : kPanel;
        const float* tile_a = tiles;
        for (int i = 0; i < count; i += kOf, tile_a += pairs * kStep) {
          const int rows = count - i < kOf ? count - i : kOf;
          tile_of<kOf, kWiden>(rows, pairs, tile_a, panel, c + (i0 + i) * ldc + j, ldc, width, add || k0 > 0);
        }
      }
    }
  }
}

}  // namespace

// Made when first asked for, since the other table lies in another file.
const Kernels& avx512_bf16_kernels(bool widened) {
  const auto table = [](const char* name, auto product) {
    Kernels made = kAvx512Kernels;
    made.name = name;
    made.pair = 2;
    made.pack_rows = pack_rows;
    made.pack_cols = pack_cols;
    made.turn_panels = turn_panels;
    made.gemm = product;
    return made;
  };
  static const Kernels kDots = table("avx512-bf16", gemm<false>), kWidened = table("avx512-bf16-widened", gemm<true>);
  return widened ? kWidened : kDots;
}

}  // namespace precept::nn
