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

extern const bool kPanelsIntoSecond;  // row_kernels.cpp

namespace {

using Ints [[gnu::vector_size(kWidth * sizeof(float)), gnu::may_alias, gnu::aligned(4)]] = Lane;
using Signed [[gnu::vector_size(kWidth * sizeof(float))]] = std::int32_t;

#if defined(__AVX512F__)
constexpr int kTileRows = 14, kQueries = 6;  // 28 sums, 2 columns, 1 or 2 factors
#elif defined(__AVX2__)
constexpr int kTileRows = 3, kQueries = 3;
#else
constexpr int kTileRows = 1, kQueries = 2;
#endif
static_assert(kQueries <= kMostQueries);
constexpr int kVectors = kPanel / kWidth;          // of a panel's row
constexpr int kSlots = kBlockTokens / kWidth;      // vectors of a block's keys
constexpr int kDepth = kDepthLanes;                // lanes of one pass
constexpr int kAhead = 4;                          // blocks of keys and values asked for before they are needed
constexpr int kWeighed = 4;                        // blocks whose weights are computed together, just before they are used
constexpr int kTiles = 8;                          // tiles of rows that pass over a panel together
constexpr int kAheadRows = 8 * kTileRows;          // products of fewer rows wait for memory, and ask for it ahead of time

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

// What a lane is, and the sum of its products.
struct Fp32 {
  static constexpr Precision kPrecision = Precision::kFp32;
  static constexpr int kPair = 1;  // values of a lane
  [[gnu::always_inline]] static Vec dot(Vec sum, Lane a, Ints b) {
    float factor = 0;
    std::memcpy(&factor, &a, sizeof factor);
    return sum + factor * reinterpret_cast<Vec&>(b);
  }
  static void factors(int n, const float* x, Lane* y) { std::memcpy(y, x, sizeof(float) * static_cast<std::size_t>(n)); }
  [[gnu::always_inline]] static Ints lane_of(const std::int8_t* numbers) { return bits_of(numbers); }
  static void place_value(int dim, int slot, const float* value, std::size_t width, Lane* values) {
    factors(dim, value, values + static_cast<std::size_t>(slot) * width);
  }
};

struct Bf16 {
  static constexpr Precision kPrecision = Precision::kBf16;
  static constexpr int kPair = 2;
  [[gnu::always_inline]] static Vec dot(Vec sum, Lane a, Ints b) {
#if defined(__AVX512BF16__)
    return reinterpret_cast<Vec>(_mm512_dpbf16_ps(__m512(sum), __m512bh(_mm512_set1_epi32(static_cast<int>(a))), __m512bh(b)));
#else
    const Lane low = a << 16, high = a & 0xFFFF0000U;
    float first = 0, second = 0;
    std::memcpy(&first, &low, sizeof first);
    std::memcpy(&second, &high, sizeof second);
    const Ints b_low = b << 16, b_high = b & 0xFFFF0000U;
    return (sum + first * reinterpret_cast<const Vec&>(b_low)) + second * reinterpret_cast<const Vec&>(b_high);
#endif
  }
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

float exponentials(int n, const float* x, float top, float scale, float* y) {
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
      for (int v = 0; v < kVectors; ++v) sum[r][v] = T::dot(sum[r][v], a[r * lda + i], b[v]);
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

// All passes of one panel over the rows of one block. With `ahead`, the panel there is asked for while this one is worked
// on, its lines spread over the first tiles, so that products of few rows never wait for memory.
template <class T>
void panel_product(int m, int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, int width, bool add,
                   const Lane* ahead) {
  for (int k0 = 0; k0 < lanes; k0 += kDepth) {
    const int depth = lanes - k0 < kDepth ? lanes - k0 : kDepth;
    const Lane* here = panel + static_cast<std::size_t>(k0) * kPanel;
    const Lane* next = ahead + static_cast<std::size_t>(k0) * kPanel;
    for (int i = 0; i < m; i += kTileRows) {
      const int rows = m - i < kTileRows ? m - i : kTileRows;
      const Lane* from = a + i * lda + k0;
      float* to = c + i * ldc;
      const bool more = add || k0 > 0;
      if (ahead != nullptr && m <= kTileRows) {
        tile_of<T, kTileRows, 2>(rows, depth, from, lda, here, to, ldc, width, more, next);
      } else if (ahead != nullptr && i < 2 * kTileRows) {  // a line is half of a panel's row
        tile_of<T, kTileRows, 1>(rows, depth, from, lda, here, to, ldc, width, more, next + (i > 0 ? depth * 16 : 0));
      } else {
        tile_of<T, kTileRows, 0>(rows, depth, from, lda, here, to, ldc, width, more, nullptr);
      }
    }
  }
}

template <class T>
void product(int m, int n, int lanes, const Lane* a, std::size_t lda, const Lane* packed, float* c, std::size_t ldc, bool add,
             const Lane* after) {
  constexpr int kBlock = kTiles * kTileRows;
  const bool few = m <= kAheadRows;
  for (int i0 = 0; i0 < m; i0 += kBlock) {
    const int count = m - i0 < kBlock ? m - i0 : kBlock;
    const Lane* panel = packed;
    const std::size_t size = static_cast<std::size_t>(lanes) * kPanel;
    for (int j = 0; j < n; j += kPanel, panel += size) {
      const int width = n - j < kPanel ? n - j : kPanel;
      const Lane* ahead = few ? (j + kPanel < n ? panel + size : after) : nullptr;
      panel_product<T>(count, lanes, a + static_cast<std::size_t>(i0) * lda, lda, panel, c + static_cast<std::size_t>(i0) * ldc + j, ldc,
                       width, add, ahead);
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

template <int R>
struct Count {
  static constexpr int value = R;
};

// Calls `f` with the Count that `count`, from 1 to R, is.
template <int R, class F>
void with_count(int count, const F& f) {
  if constexpr (R >= 1) {
    if (count == R) return f(Count<R>{});
    with_count<R - 1>(count, f);
  }
}

// One query: a row and a head.
struct Query {
  const Lane* q;
  float* out;
  int from, seen;  // keys from <= j < seen
};

int lower(int a, int b) { return a < b ? a : b; }
int higher(int a, int b) { return a > b ? a : b; }

// What one head has in the b-th block of the sequence.
[[gnu::always_inline]] inline const Lane* keys_of(const Attention& a, int b) {
  return a.keys + a.shape->within_chunks(a.blocks[b], a.shape->key_block);
}
[[gnu::always_inline]] inline const Lane* values_of(const Attention& a, int b) {
  return a.values + a.shape->within_chunks(a.blocks[b], a.shape->value_block);
}

// What a part reads, block by block: keys of blocks first .. last, then their values. Behind the end comes what is said to be next,
// or the last one again.
struct Blocks {
  const Attention& a;
  int first, last;
  int count() const { return last - first + 1; }
  [[gnu::always_inline]] const Lane* at(int i) const {
    if (i < count()) return keys_of(a, first + i);
    if (i < 2 * count()) return values_of(a, first + i - count());
    return a.next != nullptr ? a.next + static_cast<std::size_t>(i - 2 * count()) * a.shape->key_block : values_of(a, last);
  }
};

// Which of kWidth numbers from `at` on are from <= j < until.
[[gnu::always_inline]] inline Signed inside(int at, int from, int until) {
  Signed j;
  for (int lane = 0; lane < kWidth; ++lane) j[lane] = at + lane;
  return (j >= from) & (j < until);
}

// Scores of R queries against all keys of blocks first .. last, unscaled; rows of `s` are `ld` apart. `top`: the largest one that each
// query sees, NaN left out.
template <class T, int R>
void scores(const Attention& a, const Query* queries, int first, int last, float* s, std::size_t ld, float* top) {
  // Sums that wait for one another hide their latency side by side: those of R queries, or of two blocks. From memory one block
  // comes faster: the processor does not follow two runs in one page.
  constexpr int kBlocks = R < 3 && kSlots == 1 ? 2 : 1;
  const Blocks blocks{a, first, last};
  const int lanes = (a.head_dim + T::kPair - 1) / T::kPair;
  const Lane* q[R];
  Vec best[R];
  int from = 0, until = queries[0].seen;  // what all of them see
  for (int r = 0; r < R; ++r) {
    q[r] = queries[r].q;
    best[r] = Vec{} - __builtin_inff();
    from = higher(from, queries[r].from);
    until = lower(until, queries[r].seen);
  }
  const auto some = [&](auto count, int b) {
    constexpr int N = decltype(count)::value;
    const Lane *keys[N], *near[N], *next[N];
    for (int n = 0; n < N; ++n) keys[n] = keys_of(a, b + n);
    for (int n = 0; n < N; ++n) near[n] = blocks.at(b - first + N + n);
    for (int n = 0; n < N; ++n) next[n] = blocks.at(b - first + kAhead + n);
    Vec sum[R][N * kSlots] = {};
    for (int i = 0; i < lanes; ++i) {
      for (int n = 0; n < N; ++n) {
        take_near(near[n] + i * kBlockTokens);
        ask(next[n] + i * kBlockTokens);
        for (int v = 0; v < kSlots; ++v) {
          const Ints k = load(keys[n] + i * kBlockTokens + v * kWidth);
#pragma GCC unroll 6
          for (int r = 0; r < R; ++r) sum[r][n * kSlots + v] = T::dot(sum[r][n * kSlots + v], q[r][i], k);
        }
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < N * kSlots; ++v) {
        store(s + r * ld + v * kWidth, sum[r][v]);
        const int at = b * kBlockTokens + v * kWidth;
        Vec seen = sum[r][v];
        if (at < from || at + kWidth > until) seen = inside(at, queries[r].from, queries[r].seen) ? seen : best[r];
        best[r] = seen > best[r] ? seen : best[r];
      }
    }
    s += N * kBlockTokens;
  };
  int b = first;
  for (; b + kBlocks - 1 <= last; b += kBlocks) some(Count<kBlocks>{}, b);
  for (; b <= last; ++b) some(Count<1>{}, b);
  for (int r = 0; r < R; ++r) {
    top[r] = best[r][0];
    for (int lane = 1; lane < kWidth; ++lane) top[r] = best[r][lane] > top[r] ? best[r][lane] : top[r];
  }
}

// Adds to the sums of R queries (`to`, whole vectors) the values of blocks b .. end - 1 of those that are read, with weights p (lanes
// along the keys, from the start of block b), for V vectors from column d on. Of the last block only keys before `seen`.
template <class T, int R, int V>
void mix(const Attention& a, const Blocks& blocks, int b, int end, int seen, const Lane* p, std::size_t ld, float* const* to, int d) {
  const std::size_t width = (static_cast<std::size_t>(a.head_dim) + 15) / 16 * 16;
  Vec sum[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sum[r][v] = load(to[r] + d + v * kWidth);
  }
  constexpr int kLanes = kBlockTokens / T::kPair;
  for (; b < end; ++b, p += kLanes) {
    const Lane* values = values_of(a, b) + d;
    const int left = seen - b * kBlockTokens, whole = (left < kBlockTokens ? left : kBlockTokens) / T::kPair;
    const int read = blocks.count() + b - blocks.first;
    const Lane *near = blocks.at(read + 1) + d, *next = blocks.at(read + kAhead) + d;
    for (int i = 0; i < whole; ++i, values += width, near += width, next += width) {
      for (int v = 0; v < V * kWidth; v += 16) take_near(near + v);
      for (int v = 0; v < V * kWidth; v += 16) ask(next + v);
      Ints rows[V];
      for (int v = 0; v < V; ++v) rows[v] = load(values + v * kWidth);
#pragma GCC unroll 6
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = T::dot(sum[r][v], p[r * ld + i], rows[v]);
      }
    }
    // An odd last key: what lies beside it is another's, or nobody's, and need not be finite.
    if (T::kPair == 2 && left < kBlockTokens && left % 2 == 1) {
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = T::dot(sum[r][v], p[r * ld + whole], load(values + v * kWidth) & 0xFFFFU);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) store(to[r] + d + v * kWidth, sum[r][v]);
  }
}

template <class T, int R>
void mix_columns(const Attention& a, const Blocks& blocks, int b, int end, int seen, const Lane* p, std::size_t ld, float* const* to) {
  constexpr int kMost = 64 / kWidth;
  int d = 0;
  for (; d + 64 <= a.head_dim; d += 64) mix<T, R, kMost>(a, blocks, b, end, seen, p, ld, to, d);
  for (; d + 16 < a.head_dim; d += 32) mix<T, R, kMost / 2>(a, blocks, b, end, seen, p, ld, to, d);
  if (d < a.head_dim) mix<T, R, kMost / 4>(a, blocks, b, end, seen, p, ld, to, d);
}

// Makes n scores (whole vectors) of a query weights, in place: exp((score - top) * scale), and 0 outside of from <= j < until. `sum`
// takes them up.
[[gnu::always_inline]] inline void weigh(int n, float* x, int from, int until, float top, float scale, Vec& sum) {
  for (int i = 0; i < n; i += kWidth) {
    Vec v = (load(x + i) - top) * scale;
    exp_in_place(v);
    if (i < from || i + kWidth > until) v = inside(i, from, until) ? v : Vec{};
    sum += v;
    store(x + i, v);
  }
}

// What the r-th query has of the parts that it sees, counted from part `first` on, kMostQueries to a part: values mixed with weights
// that are 1 where the score is the part's largest one; behind them (`width` floats) that score, unscaled, and the sum of the weights.
struct Parts {
  Parts(const Attention& a, int from) : all(a.parts), first(from), each(part_floats(a.head_dim)), width(each - 16) {}
  float* of(int part, int r) const { return all + static_cast<std::size_t>((part - first) * kMostQueries + r) * each; }
  float& top(int part, int r) const { return of(part, r)[width]; }
  float& sum(int part, int r) const { return of(part, r)[width + 1]; }
  float* all;
  int first;
  std::size_t each, width;
};

// One part of R queries that see keys from <= j < seen, all together; they are the r-th one of `parts` and those after it. Where it
// is the only part, what it gives is the answer.
//
// Scores of all keys first, which the largest one needs; then weights and values, a few blocks at a time, so that memory goes on while
// weights are computed.
template <class T, int R>
void take_part(const Attention& a, const Query* queries, int from, int seen, int part, const Parts& parts, int r0, bool only) {
  constexpr std::size_t ld = kPartTokens + kBlockTokens;  // an odd number of cache lines
  float* const strips = reinterpret_cast<float*>(a.scratch);
  Lane* const factors = a.scratch + R * ld;
  const int first = higher(from, part * kPartTokens) / kBlockTokens, last = (lower(seen, (part + 1) * kPartTokens) - 1) / kBlockTokens;
  const int begin = first * kBlockTokens, end = (last + 1) * kBlockTokens;
  float top[R];
  scores<T, R>(a, queries, first, last, strips, ld, top);
  int sees[R], until[R];  // of the strip
  float* to[R];
  Vec sum[R];
  for (int r = 0; r < R; ++r) {
    sees[r] = higher(queries[r].from, begin) - begin;
    until[r] = lower(queries[r].seen, end) - begin;
    sum[r] = Vec{};
    to[r] = parts.of(part, r0 + r);
    std::memset(to[r], 0, sizeof(float) * parts.width);
  }
  const Blocks blocks{a, first, last};
  for (int b = first; b <= last; b += kWeighed) {
    const int some = lower(b + kWeighed, last + 1), at = b * kBlockTokens - begin, n = (some - b) * kBlockTokens;
    for (int r = 0; r < R; ++r) {
      weigh(n, strips + r * ld + at, sees[r] - at, until[r] - at, top[r], a.scale, sum[r]);
      T::factors(n, strips + r * ld + at, factors + r * ld + at / T::kPair);
    }
    mix_columns<T, R>(a, blocks, b, some, seen, factors + at / T::kPair, ld, to);
  }
  for (int r = 0; r < R; ++r) {
    float total = 0.0F;
    for (int lane = 0; lane < kWidth; ++lane) total += sum[r][lane];
    parts.top(part, r0 + r) = top[r];
    parts.sum(part, r0 + r) = total;
    const float share = 1.0F / total;
    for (int d = 0; only && d < a.head_dim; ++d) queries[r].out[d] = to[r][d] * share;
  }
}

// The parts of one query together, in their order.
[[gnu::noinline]] void join(const Attention& a, const Query& query, const Parts& parts, int r) {
  const int first = query.from / kPartTokens, last = (query.seen - 1) / kPartTokens;
  for (int part = first; part <= last; ++part) {  // half of them lie in another core's cache
    for (std::size_t x = 0; x < parts.each; x += 16) __builtin_prefetch(parts.of(part, r) + x);
  }
  float top = parts.top(first, r);
  for (int part = first + 1; part <= last; ++part) top = parts.top(part, r) > top ? parts.top(part, r) : top;
  float sum = 0.0F;
  for (int part = first; part <= last; ++part) {
    float weight = 0.0F;
    exponentials(1, &parts.top(part, r), top, a.scale, &weight);
    sum += weight * parts.sum(part, r);
    const float* mixed = parts.of(part, r);
    for (int d = 0; d < a.head_dim; ++d) query.out[d] = part == first ? weight * mixed[d] : query.out[d] + weight * mixed[d];
  }
  const float share = 1.0F / sum;
  for (int d = 0; d < a.head_dim; ++d) query.out[d] *= share;
}

template <class T, int R>
void attend_queries(const Attention& a, const Query* queries) {
  int from = queries[0].from, seen = queries[0].seen;
  for (int r = 1; r < R; ++r) {
    from = lower(from, queries[r].from);
    seen = higher(seen, queries[r].seen);
  }
  const int first = from / kPartTokens, last = (seen - 1) / kPartTokens;
  const Parts parts(a, first);
  for (int part = first; part <= last; ++part) take_part<T, R>(a, queries, from, seen, part, parts, 0, first == last);
  for (int r = 0; r < R && first < last; ++r) join(a, queries[r], parts, r);
}

Query query_of(const Attention& a, int row, int head) {
  const int seen = a.first + row + 1, from = a.window > 0 && seen > a.window ? seen - a.window : 0;
  return {a.q + row * a.q_row + head * a.q_head, a.out + row * a.out_row + head * a.out_head, from, seen};
}

// Rows and the heads of the group together are the queries; kQueries of them share what is read of keys and values.
template <class T>
void attend(const Attention& a) {
  Query queries[kQueries];
  int count = 0;
  for (int row = 0; row < a.rows; ++row) {
    for (int h = 0; h < a.group; ++h) {
      queries[count++] = query_of(a, row, h);
      if (count < kQueries && (row + 1 < a.rows || h + 1 < a.group)) continue;
      with_count<kQueries>(count, [&](auto n) { attend_queries<T, decltype(n)::value>(a, queries); });
      count = 0;
    }
  }
}

template <class T>
void attend_part(const Attention& a, int part) {
  for (int h = 0; h < a.group; h += kQueries) {
    Query queries[kQueries];
    const int count = lower(a.group - h, kQueries);
    for (int i = 0; i < count; ++i) queries[i] = query_of(a, 0, h + i);
    const int from = queries[0].from, seen = queries[0].seen, first = from / kPartTokens;
    with_count<kQueries>(count, [&](auto n) {
      take_part<T, decltype(n)::value>(a, queries, from, seen, first + part, Parts(a, first), h, false);
    });
  }
}

void attend_join(const Attention& a, int head) {
  const Query query = query_of(a, 0, head);
  join(a, query, Parts(a, query.from / kPartTokens), head);
}

template <class T>
constexpr RowKernels table(const char* name) {
  return {name, T::kPrecision, T::factors, pack, product<T>, widen8<T>, scaled, place<T>, attend<T>,
          attend_part<T>, attend_join, largest, exponentials};
}

}  // namespace

extern const RowKernels PRECEPT_ROW_KERNELS[2];
const RowKernels PRECEPT_ROW_KERNELS[2] = {table<Fp32>(PRECEPT_ROW_KERNELS_NAME), table<Bf16>(PRECEPT_ROW_KERNELS_NAME)};

}  // namespace precept::nn
