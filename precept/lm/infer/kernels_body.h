// The kernels themselves, compiled once for each instruction set: the including file has set the
// target options and defines PRECEPT_INFER_KERNELS (the table's name) and PRECEPT_INFER_NAME. It
// includes all standard headers first, so that none of their inline code is built for this set.
// No include guard, and nothing with external linkage but the table.

namespace precept::infer {
namespace {

using Vec [[gnu::vector_size(64), gnu::may_alias, gnu::aligned(4)]] = float;
using IntVec [[gnu::vector_size(64)]] = std::int32_t;

[[gnu::always_inline]] inline const Vec& load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
[[gnu::always_inline]] inline Vec& store(float* p) { return *reinterpret_cast<Vec*>(p); }

// exp of 16 values in place, about 2 ulp; arguments below -87 give about 1e-38, NaN stays NaN.
// Cody-Waite reduction and a polynomial of degree 6.
[[gnu::always_inline]] inline void exp_in_place(Vec& x) {
  x = x < -87.0F ? Vec{} - 87.0F : x;
  x = x > 88.0F ? Vec{} + 88.0F : x;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = (x * 1.44269504F + kRound) - kRound;
  const Vec r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  Vec p = r * 1.3888889e-3F + 8.3333333e-3F;
  p = p * r + 4.1666667e-2F;
  p = p * r + 1.6666667e-1F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  const IntVec bits = (__builtin_convertvector(n == n ? n : Vec{}, IntVec) + 127) << 23;
  x = p * reinterpret_cast<const Vec&>(bits);
}

float largest(int n, const float* x) {
  float top = x[0];
  int i = 0;
  bool sound = true;
  if (n >= kBlockTokens) {
    Vec best = load(x);
    IntVec nan = {};
    for (; i + kBlockTokens <= n; i += kBlockTokens) {
      const Vec v = load(x + i);
      nan |= v != v;
      best = v > best ? v : best;
    }
    for (int lane = 0; lane < kBlockTokens; ++lane) {
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
  for (; i + kBlockTokens <= n; i += kBlockTokens) {
    Vec v = (load(x + i) - top) * scale;
    exp_in_place(v);
    sum += v;
    if (y != nullptr) store(y + i) = v;
  }
  if (i < n) {
    float rest[kBlockTokens] = {};
    for (int j = i; j < n; ++j) rest[j - i] = x[j];
    Vec v = (load(rest) - top) * scale;
    exp_in_place(v);
    store(rest) = v;
    for (int j = 0; j < kBlockTokens; ++j) {
      if (i + j >= n) {
        rest[j] = 0.0F;
      } else if (y != nullptr) {
        y[i + j] = rest[j];
      }
    }
    sum += load(rest);
  }
  float total = 0.0F;
  for (int lane = 0; lane < kBlockTokens; ++lane) total += sum[lane];
  return total;
}

void rotate(int heads, int head_dim, const float* cosines, const float* sines, float* x) {
  const int half = head_dim / 2;
  for (int h = 0; h < heads; ++h, x += head_dim) {
    float* low = x;
    float* high = x + half;
    int i = 0;
    for (; i + kBlockTokens <= half; i += kBlockTokens) {
      const Vec a = load(low + i), b = load(high + i), c = load(cosines + i), s = load(sines + i);
      store(low + i) = a * c - b * s;
      store(high + i) = b * c + a * s;
    }
    for (; i < half; ++i) {
      const float a = low[i], b = high[i];
      low[i] = a * cosines[i] - b * sines[i];
      high[i] = b * cosines[i] + a * sines[i];
    }
  }
}

// One query: a row and a head.
struct Query {
  const float* q;
  float* out;
  std::size_t key_head, value_head;  // floats to its kv head within keys and values
  int from, seen;                    // keys from <= j < seen
};

// Scores of R queries against keys first..n-1, unscaled, and of some before them; `s` rows are `ld` apart and have
// room for 15 more.
template <int R>
void scores(const Attention& a, const Query* queries, int first, int n, float* s, std::size_t ld) {
  const Span* span = a.spans;
  int j = 0;
  for (; j + span->count <= first; j += span->count, ++span) {
  }
  for (; j < n; j += span->count, ++span) {
    const float* block = a.keys + span->block * a.block_stride;
    const float* k[R];
    Vec sum[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      k[r] = block + queries[r].key_head;
      sum[r] = Vec{};
    }
    for (int d = 0; d < a.head_dim; ++d) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[r] += queries[r].q[d] * load(k[r] + d * kBlockTokens);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) store(s + r * ld + j) = sum[r];
  }
}

// Weighted sums of values; head_dim = 16 * W. All R queries see keys `first` to `least`; each one's sum runs in order.
template <int R, int W>
void mix(const Attention& a, const Query* queries, int first, int least, const float* s, std::size_t ld,
         const float* share) {
  Vec sum[R][W];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w) sum[r][w] = Vec{};
  }
  const auto alone = [&](int r, int from, int to) __attribute__((always_inline)) {
    for (int j = from; j < to; ++j) {
      const float* v = a.keys + a.value_at[j] + queries[r].value_head;
      const float p = s[r * ld + j];
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) sum[r][w] += p * load(v + w * kBlockTokens);
    }
  };
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) alone(r, queries[r].from, first);
  for (int j = first; j < least; ++j) {
    const float* value = a.keys + a.value_at[j];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const float* v = value + queries[r].value_head;
      const float p = s[r * ld + j];
#pragma GCC unroll 8
      for (int w = 0; w < W; ++w) sum[r][w] += p * load(v + w * kBlockTokens);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    alone(r, queries[r].from > least ? queries[r].from : least, queries[r].seen);
#pragma GCC unroll 8
    for (int w = 0; w < W; ++w) store(queries[r].out + w * kBlockTokens) = sum[r][w] * share[r];
  }
}

// The same for any head_dim.
void mix_any(const Attention& a, const Query& query, const float* s, float share) {
  for (int d = 0; d < a.head_dim; ++d) query.out[d] = 0.0F;
  for (int j = query.from; j < query.seen; ++j) {
    const float* v = a.keys + a.value_at[j] + query.value_head;
    const float p = s[j];
    for (int d = 0; d < a.head_dim; ++d) query.out[d] += p * v[d];
  }
  for (int d = 0; d < a.head_dim; ++d) query.out[d] *= share;
}

template <int R>
void attend_queries(const Attention& a, const Query* queries) {
  int least = queries[0].seen, most = queries[0].seen;
  int first = queries[0].from, common = queries[0].from;  // `common`: all of them see it, unless it is beyond `least`
  for (int r = 1; r < R; ++r) {
    first = queries[r].from < first ? queries[r].from : first;
    common = queries[r].from > common ? queries[r].from : common;
    least = queries[r].seen < least ? queries[r].seen : least;
    most = queries[r].seen > most ? queries[r].seen : most;
  }
  const std::size_t ld = static_cast<std::size_t>(most) + 2 * kBlockTokens;
  common = common < least ? common : least;
  scores<R>(a, queries, first, most, a.scratch, ld);
  float share[R];
  for (int r = 0; r < R; ++r) {
    float* s = a.scratch + r * ld + queries[r].from;
    const int seen = queries[r].seen - queries[r].from;
    const float top = largest(seen, s);
    share[r] = 1.0F / exponentials(seen, s, top, a.scale, s);
  }
  switch (a.head_dim) {
    case 16: return mix<R, 1>(a, queries, common, least, a.scratch, ld, share);
    case 32: return mix<R, 2>(a, queries, common, least, a.scratch, ld, share);
    case 48: return mix<R, 3>(a, queries, common, least, a.scratch, ld, share);
    case 64: return mix<R, 4>(a, queries, common, least, a.scratch, ld, share);
    case 128: return mix<R, 8>(a, queries, common, least, a.scratch, ld, share);
    default: break;
  }
  for (int r = 0; r < R; ++r) mix_any(a, queries[r], a.scratch + r * ld, share[r]);
}

Query query_of(const Attention& a, int row, int head) {
  const std::size_t at = static_cast<std::size_t>(head) * a.head_dim;
  const std::size_t kv = static_cast<std::size_t>(head / (a.heads / a.kv_heads)) * a.head_dim * kBlockTokens;
  const int seen = a.seen + row;
  const int from = a.window > 0 && seen > a.window ? seen - a.window : 0;
  return {a.q + row * a.q_stride + at, a.out + row * a.out_stride + at, kv, kv, from, seen};
}

void attend(const Attention& a) {
  int row = 0;
  Query queries[4];
  for (; row + 4 <= a.rows; row += 4) {  // four rows share a head's keys
    for (int h = 0; h < a.heads; ++h) {
      for (int r = 0; r < 4; ++r) queries[r] = query_of(a, row + r, h);
      attend_queries<4>(a, queries);
    }
  }
  for (; row < a.rows; ++row) {  // four heads of one row hide each other's latency
    for (int h = 0; h < a.heads; h += 4) {
      const int count = a.heads - h < 4 ? a.heads - h : 4;
      for (int r = 0; r < count; ++r) queries[r] = query_of(a, row, h + r);
      switch (count) {
        case 1: attend_queries<1>(a, queries); break;
        case 2: attend_queries<2>(a, queries); break;
        case 3: attend_queries<3>(a, queries); break;
        default: attend_queries<4>(a, queries); break;
      }
    }
  }
}

}  // namespace

extern const Kernels PRECEPT_INFER_KERNELS;
const Kernels PRECEPT_INFER_KERNELS = {PRECEPT_INFER_NAME, attend, rotate, largest, exponentials};

}  // namespace precept::infer
