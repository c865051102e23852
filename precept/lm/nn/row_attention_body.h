// Attention of the row kernels: the second half of row_kernels_body.h, which includes it, and like that one compiled once for each
// instruction set.

namespace precept::nn {
namespace {

constexpr int kSlots = kBlockTokens / kWidth;  // vectors of a block's keys
constexpr int kAhead = 4;                      // blocks of keys and values asked for before they are needed
constexpr int kWeighed = 4;                    // blocks whose weights are computed together, just before they are used

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

// Scores of R queries against all keys of these blocks, unscaled; rows of `s` are `ld` apart. `top`: the largest one that each
// query sees, NaN left out.
template <class T, int R>
void scores(const Blocks& blocks, const Query* queries, float* s, std::size_t ld, float* top) {
  // Sums that wait for one another hide their latency side by side: those of even lanes and of odd ones, of R queries, or of two
  // blocks. From memory one block comes faster: the processor does not follow two runs in one page.
  constexpr int kBlocks = R < 3 && kSlots == 1 ? 2 : 1;
  const auto& [a, first, last] = blocks;
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
    Vec sum[2][R][N * kSlots] = {};
    const auto lane = [&](int i, int half) __attribute__((always_inline)) {
      for (int n = 0; n < N; ++n) {
        take_near(near[n] + i * kBlockTokens);
        ask(next[n] + i * kBlockTokens);
        for (int v = 0; v < kSlots; ++v) {
          const Ints k = load(keys[n] + i * kBlockTokens + v * kWidth);
#pragma GCC unroll 6
          for (int r = 0; r < R; ++r) {
            Vec& to = sum[half][r][n * kSlots + v];
            to = T::dot(to, q[r] + i * T::kFactors, k);
          }
        }
      }
    };
    int i = 0;
    for (; i + 1 < lanes; i += 2) {
      lane(i, 0);
      lane(i + 1, 1);
    }
    if (i < lanes) lane(i, 0);
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < N * kSlots; ++v) {
        Vec seen = sum[0][r][v] + sum[1][r][v];
        store(s + r * ld + v * kWidth, seen);
        const int at = b * kBlockTokens + v * kWidth;
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
void mix(const Blocks& blocks, int b, int end, int seen, const Lane* p, std::size_t ld, float* const* to, int d) {
  const Attention& a = blocks.a;
  const std::size_t width = (static_cast<std::size_t>(a.head_dim) + 15) / 16 * 16;
  Vec sum[R][V];
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) sum[r][v] = load(to[r] + d + v * kWidth);
  }
  constexpr int kLanes = kBlockTokens / T::kPair * T::kFactors;
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
        for (int v = 0; v < V; ++v) sum[r][v] = T::dot(sum[r][v], p + r * ld + i * T::kFactors, rows[v]);
      }
    }
    // An odd last key: what lies beside it is another's, or nobody's, and need not be finite.
    if (T::kPair == 2 && left < kBlockTokens && left % 2 == 1) {
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < V; ++v) sum[r][v] = T::dot(sum[r][v], p + r * ld + whole * T::kFactors, load(values + v * kWidth) & 0xFFFFU);
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < V; ++v) store(to[r] + d + v * kWidth, sum[r][v]);
  }
}

template <class T, int R>
void mix_columns(const Blocks& blocks, int b, int end, int seen, const Lane* p, std::size_t ld, float* const* to) {
  constexpr int kMost = 64 / kWidth;
  const int head_dim = blocks.a.head_dim;
  int d = 0;
  for (; d + 64 <= head_dim; d += 64) mix<T, R, kMost>(blocks, b, end, seen, p, ld, to, d);
  for (; d + 16 < head_dim; d += 32) mix<T, R, kMost / 2>(blocks, b, end, seen, p, ld, to, d);
  if (d < head_dim) mix<T, R, kMost / 4>(blocks, b, end, seen, p, ld, to, d);
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
  const Blocks blocks{a, first, last};
  float top[R];
  scores<T, R>(blocks, queries, strips, ld, top);
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
  for (int b = first; b <= last; b += kWeighed) {
    const int some = lower(b + kWeighed, last + 1), at = b * kBlockTokens - begin, n = (some - b) * kBlockTokens;
    for (int r = 0; r < R; ++r) {
      weigh(n, strips + r * ld + at, sees[r] - at, until[r] - at, top[r], a.scale, sum[r]);
      if constexpr (T::kRoundsWeights) T::factors(n, strips + r * ld + at, factors + r * ld + at / T::kPair);
    }
    mix_columns<T, R>(blocks, b, some, seen, T::kRoundsWeights ? factors + at / T::kPair : a.scratch + at, ld, to);
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
  for (int part = first; part <= last; ++part) {  // other threads may have made them
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

}  // namespace
}  // namespace precept::nn
