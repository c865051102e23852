// The row kernels themselves, compiled once for each instruction set: the including file is built with that set's flags
// and defines PRECEPT_ROW_KERNELS (prefix of the two tables' names) and PRECEPT_ROW_KERNELS_NAME. No include guard, and
// nothing with external linkage but the tables: each set must keep its own code.

#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "precept/lm/nn/kernels_turn.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::nn {

namespace {

using Ints [[gnu::vector_size(kWidth * sizeof(float)), gnu::may_alias, gnu::aligned(4)]] = Lane;
using Signed [[gnu::vector_size(kWidth * sizeof(float))]] = std::int32_t;

// Rows of a tile of a product. With AVX-512, sums, a panel's row (widened: twice as many vectors) and a row's factors fill the registers;
// with fewer of them the numbers are those of fp32, and what is widened may be so again for each row.
#if defined(__AVX512F__)
constexpr int kTileRows = 14, kWideTileRows = 12, kQueries = 6;
#elif defined(__AVX2__)
constexpr int kTileRows = 3, kWideTileRows = 3, kQueries = 3;
#else
constexpr int kTileRows = 1, kWideTileRows = 1, kQueries = 2;
#endif
static_assert(kQueries <= kMostQueries);
constexpr int kVectors = kPanel / kWidth;  // of a panel's row
constexpr int kDepth = kDepthLanes;        // lanes of one pass

[[gnu::always_inline]] inline Ints load(const Lane* p) { return *reinterpret_cast<const Ints*>(p); }
[[gnu::always_inline]] inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
[[gnu::always_inline]] inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }

// Asks for a cache line: far ahead into the second cache, shortly before it is needed into the first.
[[gnu::always_inline]] inline void ask(const Lane* line) { __builtin_prefetch(line, 0, 2); }
[[gnu::always_inline]] inline void take_near(const Lane* line) { __builtin_prefetch(line, 0, 3); }

// Nearest bf16, ties to even, in the low half of each lane. NaN stays NaN as long as its high bits say so.
[[gnu::always_inline]] inline Ints rounded(Vec v) {
  const Ints bits = reinterpret_cast<Ints&>(v);
  return (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
}
inline Lane rounded(float v) {
  Lane bits = 0;
  std::memcpy(&bits, &v, sizeof bits);
  return (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
}

// 8-bit numbers as the bits of floats.
[[gnu::always_inline]] inline Ints bits_of(const std::int8_t* numbers) {
  // Compilers take the widening apart, number by number, where it is written for any vector.
#if defined(__AVX512F__)
  const Signed whole = Signed(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers))));
#elif defined(__AVX2__)
  const Signed whole = Signed(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(numbers))));
#else
  Signed whole;
  for (int i = 0; i < kWidth; ++i) whole[i] = numbers[i];
#endif
  const Vec wide = __builtin_convertvector(whole, Vec);
  return reinterpret_cast<const Ints&>(wide);
}

[[gnu::always_inline]] inline float float_of(Lane bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// What a lane is, and the sum of its products: `dot` takes kFactors lanes of a row and one lane of each column.
struct Fp32 {
  static constexpr Precision kPrecision = Precision::kFp32;
  static constexpr int kPair = 1;     // values of a lane
  static constexpr int kFactors = 1;  // lanes of a row for each lane of a column
  static constexpr int kRows = kTileRows;
  static constexpr int kTiles = 8;               // tiles of rows that pass over a panel together: what stays in the second cache
  static constexpr bool kRoundsWeights = false;  // weights of attention become factors; else they are read as the floats that they are
  [[gnu::always_inline]] static Vec dot(Vec sum, const Lane* a, Ints b) { return sum + float_of(*a) * reinterpret_cast<Vec&>(b); }
  static void factors(int n, const float* x, Lane* y) { std::memcpy(y, x, sizeof(float) * static_cast<std::size_t>(n)); }
  static void row_factors(int n, const float* x, Lane* y) { factors(n, x, y); }
  [[gnu::always_inline]] static Ints lane_of(const std::int8_t* numbers) { return bits_of(numbers); }
  static void place_value(int dim, int slot, const float* value, std::size_t width, Lane* values) {
    factors(dim, value, values + static_cast<std::size_t>(slot) * width);
  }
};

struct Bf16 {
  static constexpr Precision kPrecision = Precision::kBf16;
  static constexpr int kPair = 2;
#if defined(PRECEPT_BF16_DOTS)
  static constexpr int kFactors = 1;
  static constexpr int kRows = kTileRows;
  static constexpr int kTiles = 8;
  static constexpr bool kRoundsWeights = true;
  [[gnu::always_inline]] static Vec dot(Vec sum, const Lane* a, Ints b) {
    return reinterpret_cast<Vec>(_mm512_dpbf16_ps(__m512(sum), __m512bh(_mm512_set1_epi32(static_cast<int>(*a))), __m512bh(b)));
  }
#else
  static constexpr int kFactors = 2;
  static constexpr int kRows = kWideTileRows;
  static constexpr int kTiles = 6;
  static constexpr bool kRoundsWeights = false;
  [[gnu::always_inline]] static Vec dot(Vec sum, const Lane* a, Ints b) {
    const Ints low = b << 16, high = b & 0xFFFF0000U;
    return (sum + float_of(a[0]) * reinterpret_cast<const Vec&>(low)) + float_of(a[1]) * reinterpret_cast<const Vec&>(high);
  }
#endif
  static void factors(int n, const float* x, Lane* y) {
    int i = 0;
#if defined(__AVX512BF16__)
    for (; i + 32 <= n; i += 32, y += 16) {
      const __m512bh both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i));
      _mm512_storeu_si512(y, __m512i(both));
    }
#endif
    for (; i + 1 < n; i += 2) *y++ = rounded(x[i]) | rounded(x[i + 1]) << 16;
    if (i < n) *y = rounded(x[i]);
  }
  static void row_factors(int n, const float* x, Lane* y) {
    if constexpr (kFactors == 1) return factors(n, x, y);
    int i = 0;
    for (; i + kWidth <= n; i += kWidth) {
#if defined(__AVX512BF16__)
      const auto halves = __m256i(_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i)));
      *reinterpret_cast<Ints*>(y + i) = Ints(_mm512_cvtepu16_epi32(halves)) << 16;
#else
      *reinterpret_cast<Ints*>(y + i) = rounded(load(x + i)) << 16;
#endif
    }
#if defined(__AVX512BF16__)
    if (i < n) {  // by the same instruction, which makes numbers below 2^-126 zero: where a vector ends changes no bits
      const auto rest = static_cast<__mmask16>((1U << (n - i)) - 1);
      const auto halves = __m256i(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(rest, x + i)));
      _mm512_mask_storeu_epi32(y + i, rest, _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
    }
#else
    for (; i < n; ++i) y[i] = rounded(x[i]) << 16;
#endif
    if (n % 2 == 1) y[n] = 0;
  }
  // A bf16 has the bits that numbers up to 256 need.
  [[gnu::always_inline]] static Ints lane_of(const std::int8_t* numbers) {
    return bits_of(numbers) >> 16 | (bits_of(numbers + kPanel) & 0xFFFF0000U);
  }
  // Half lanes are written, never the other half: another thread may be at the neighbouring position.
  static void place_value(int dim, int slot, const float* value, std::size_t width, Lane* values) {
    using Half [[gnu::may_alias]] = std::uint16_t;
    Half* row = reinterpret_cast<Half*>(values + static_cast<std::size_t>(slot / 2) * width) + slot % 2;
    for (int d = 0; d < dim; ++d) row[2 * d] = static_cast<std::uint16_t>(rounded(value[d]));
  }
};

// exp in place, about 2 ulp; arguments below -87 give about 1e-38, NaN stays NaN. Cody-Waite reduction and a polynomial
// of degree 6.
[[gnu::always_inline]] inline void exp_in_place(Vec& x) {
#if defined(__AVX512F__)
  // One instruction each, where compilers make two of a comparison; of two numbers one of which is NaN they give the second.
  x = Vec(_mm512_min_ps(_mm512_set1_ps(88.0F), _mm512_max_ps(_mm512_set1_ps(-87.0F), __m512(x))));
#else
  x = x < -87.0F ? Vec{} - 87.0F : x;
  x = x > 88.0F ? Vec{} + 88.0F : x;
#endif
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (x * 1.44269504F + kRound) - kRound;
  const Vec r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Vec p = r * 1.3888889e-3F + 8.3333333e-3F;
  p = p * r + 4.1666667e-2F;
  p = p * r + 1.6666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
#if defined(__AVX512F__)
  x = Vec(_mm512_scalef_ps(__m512(p), __m512(n)));
#else
  const Signed bits = (__builtin_convertvector(n == n ? n : Vec{}, Signed) + 127) << 23;
  x = p * reinterpret_cast<const Vec&>(bits);
#endif
}

float largest(int n, const float* x) {
  float top = x[0];
  int i = 0;
  bool sound = true;
  if (n >= kWidth) {
    Vec best = load(x);
    Signed nan = {};
    for (; i + kWidth <= n; i += kWidth) {
      const Vec v = load(x + i);
      nan |= v != v;
      best = v > best ? v : best;
    }
    for (int lane = 0; lane < kWidth; ++lane) {
      top = best[lane] > top ? best[lane] : top;
      sound = sound && nan[lane] == 0;
    }
  }
  for (; i < n; ++i) {
    top = x[i] > top ? x[i] : top;
    sound = sound && x[i] == x[i];
  }
  return sound && top == top ? top : __builtin_nanf("");
}

float some_exponentials(int n, const float* x, float top, float scale, float* y) {
  Vec sum = {};
  int i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    Vec v = (load(x + i) - top) * scale;
    exp_in_place(v);
    sum += v;
    if (y != nullptr) store(y + i, v);
  }
  if (i < n) {
    float rest[kWidth] = {};
    for (int j = i; j < n; ++j) rest[j - i] = x[j];
    Vec v = (load(rest) - top) * scale;
    exp_in_place(v);
    store(rest, v);
    for (int j = 0; j < kWidth; ++j) {
      if (i + j >= n) {
        rest[j] = 0.0F;
      } else if (y != nullptr) {
        y[i + j] = rest[j];
      }
    }
    sum += load(rest);
  }
  float total = 0.0F;
  for (int lane = 0; lane < kWidth; ++lane) total += sum[lane];
  return total;
}

// Sums of some at a time, added in double: one fp32 sum of a vocabulary of 150,000 that are nearly equal rounds them all one way, and was
// off by as much as 5e-4 of it. (As many as the built-in model has tokens: its sums are one.)
float exponentials(int n, const float* x, float top, float scale, float* y) {
  constexpr int kSome = 2048;
  double total = 0.0;
  for (int i = 0; i < n; i += kSome) {
    total += static_cast<double>(some_exponentials(n - i < kSome ? n - i : kSome, x + i, top, scale, y == nullptr ? nullptr : y + i));
  }
  return static_cast<float>(total);
}

void pack(int lanes, int n, const Lane* w, std::size_t ldw, Lane* packed) {
  for (int j = 0; j < n; j += kPanel, packed += static_cast<std::size_t>(lanes) * kPanel) {
    for (int x = 0; x < kPanel; x += kWidth) {
      const int left = n - j - x, some = left < 0 ? 0 : left < kWidth ? left : kWidth;
      // Lanes are moved as floats: nothing is computed.
      turn(some, lanes, reinterpret_cast<const float*>(w + static_cast<std::size_t>(j + x) * ldw), ldw,
           reinterpret_cast<float*>(packed + x), kPanel);
      for (int i = 0; some == 0 && i < lanes; ++i) std::memset(packed + static_cast<std::size_t>(i) * kPanel + x, 0, sizeof(Lane) * kWidth);
    }
  }
}

// One tile: R rows of C and one panel, over `lanes` lanes from the start of a pass. Asks for kLines cache lines of `ahead`
// at each lane.
template <class T, int R, int kLines>
void tile(int lanes, const Lane* __restrict a, std::size_t lda, const Lane* __restrict panel, float* __restrict c, std::size_t ldc, int width,
          bool add, const Lane* ahead) {
  [[maybe_unused]] const bool second = kPanelsIntoSecond;
  Vec sum[R][kVectors];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec{};
  }
  for (int i = 0; i < lanes; ++i, panel += kPanel) {
    if constexpr (kLines > 0) {
      for (int l = 0; l < kLines; ++l) second ? ask(ahead + (i * kLines + l) * 16) : take_near(ahead + (i * kLines + l) * 16);
    }
    Ints b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = load(panel + v * kWidth);
#pragma GCC unroll 14
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sum[r][v] = T::dot(sum[r][v], a + r * lda + i * T::kFactors, b[v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    float* row = c + r * ldc;
    if (width == kPanel) {
      for (int v = 0; v < kVectors; ++v) store(row + v * kWidth, add ? load(row + v * kWidth) + sum[r][v] : sum[r][v]);
    } else {
      float last[kPanel];
      std::memcpy(last, sum[r], sizeof last);
      for (int x = 0; x < width; ++x) row[x] = add ? row[x] + last[x] : last[x];
    }
  }
}

template <class T, int R, int kLines>
void tile_of(int rows, int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, int width, bool add,
             const Lane* ahead) {
  if constexpr (R >= 1) {
    if (rows == R) return tile<T, R, kLines>(lanes, a, lda, panel, c, ldc, width, add, ahead);
    tile_of<T, R - 1, kLines>(rows, lanes, a, lda, panel, c, ldc, width, add, ahead);
  }
}

// One pass of one panel over the rows of one block. With `ahead`, the lanes there are asked for while these are worked on, their lines
// spread over the first tiles, so that products of few rows never wait for memory, and those of many not for their first rows.
template <class T>
void panel_product(int m, int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, int width, bool add,
                   const Lane* ahead) {
  for (int i = 0; i < m; i += T::kRows) {
    const int rows = m - i < T::kRows ? m - i : T::kRows;
    const Lane* from = a + i * lda;
    float* to = c + i * ldc;
    if (ahead != nullptr && m <= T::kRows) {
      tile_of<T, T::kRows, 2>(rows, lanes, from, lda, panel, to, ldc, width, add, ahead);
    } else if (ahead != nullptr && i < 2 * T::kRows) {  // a line is half of a panel's row
      tile_of<T, T::kRows, 1>(rows, lanes, from, lda, panel, to, ldc, width, add, ahead + (i > 0 ? lanes * 16 : 0));
    } else {
      tile_of<T, T::kRows, 0>(rows, lanes, from, lda, panel, to, ldc, width, add, nullptr);
    }
  }
}

template <class T>
void product(int m, int n, int lanes, const Lane* a, std::size_t lda, const Lane* packed, float* c, std::size_t ldc, bool add,
             const Lane* after) {
  constexpr int kBlock = T::kTiles * T::kRows;
  const std::size_t size = static_cast<std::size_t>(lanes) * kPanel;
  for (int i0 = 0; i0 < m; i0 += kBlock) {
    const int count = m - i0 < kBlock ? m - i0 : kBlock;
    const bool first = i0 == 0, last = i0 + kBlock >= m;  // panels come from memory for the first block of rows, from a cache for others
    for (int k0 = 0; k0 < lanes; k0 += kDepth) {
      const int depth = lanes - k0 < kDepth ? lanes - k0 : kDepth;
      const Lane* rows = a + static_cast<std::size_t>(i0) * lda + k0 * T::kFactors;
      const Lane* panel = packed + static_cast<std::size_t>(k0) * kPanel;
      const Lane* pass = first ? panel + static_cast<std::size_t>(depth) * kPanel : nullptr;
      const Lane* then = k0 + depth < lanes ? pass : last ? after : nullptr;
      for (int j = 0; j < n; j += kPanel, panel += size) {
        const int width = n - j < kPanel ? n - j : kPanel;
        const Lane* next = first ? panel + size : nullptr;
        panel_product<T>(count, depth, rows, lda, panel, c + static_cast<std::size_t>(i0) * ldc + j, ldc, width, add || k0 > 0,
                         j + kPanel < n ? next : then);
      }
    }
  }
}

template <class T>
void widen8(int lanes, const std::int8_t* numbers, Lane* panel) {
  for (int i = 0; i < lanes; ++i, numbers += T::kPair * kPanel, panel += kPanel) {
    for (int v = 0; v < kPanel; v += kWidth) *reinterpret_cast<Ints*>(panel + v) = T::lane_of(numbers + v);
  }
}

void scaled(int m, int n, const float* sums, const float* scales, float* c, std::size_t ldc, bool add) {
  for (int r = 0; r < m; ++r, sums += kPanel, c += ldc) {
    int j = 0;
    for (; j + kWidth <= n; j += kWidth) {
      const Vec v = load(sums + j) * load(scales + j);
      store(c + j, add ? load(c + j) + v : v);
    }
    for (; j < n; ++j) {
      const float v = sums[j] * scales[j];
      c[j] = add ? c[j] + v : v;
    }
  }
}

template <class T>
void place(int head_dim, int slot, const float* key, const float* value, Lane* keys, Lane* values) {
  Lane lanes[256];
  for (int from = 0; from < head_dim; from += 256) {
    const int some = head_dim - from < 256 ? head_dim - from : 256;
    T::factors(some, key + from, lanes);
    Lane* to = keys + static_cast<std::size_t>(from / T::kPair) * kBlockTokens + slot;
    for (int i = 0; i < (some + T::kPair - 1) / T::kPair; ++i) to[i * kBlockTokens] = lanes[i];
  }
  T::place_value(head_dim, slot, value, (static_cast<std::size_t>(head_dim) + 15) / 16 * 16, values);
}

}  // namespace
}  // namespace precept::nn

#include "precept/lm/nn/row_attention_body.h"

namespace precept::nn {
namespace {

template <class T>
constexpr RowKernels table(const char* name) {
  static_assert(T::kTiles * T::kRows <= kMostRowsTogether);
  return {name, T::kPrecision, T::kTiles * T::kRows, T::kFactors > 1, T::factors, T::row_factors, pack, product<T>, widen8<T>, scaled,
          place<T>, attend<T>, attend_part<T>, attend_join, largest, exponentials};
}

}  // namespace

extern const RowKernels PRECEPT_ROW_KERNELS[2];
const RowKernels PRECEPT_ROW_KERNELS[2] = {table<Fp32>(PRECEPT_ROW_KERNELS_NAME), table<Bf16>(PRECEPT_ROW_KERNELS_NAME)};

}  // namespace precept::nn
