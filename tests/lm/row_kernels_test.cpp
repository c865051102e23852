// Every table of row kernels that this processor can run, in both precisions, against plain double-precision arithmetic.
#include "precept/lm/nn/row_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "precept/core/rng.h"
#include "precept/lm/nn/processor.h"

namespace precept::nn {

// The tables themselves: row_kernels() only gives the fastest.
extern const RowKernels kPortableRowKernels[2];
#if defined(__x86_64__)
extern const RowKernels kAvx2RowKernels[2];
extern const RowKernels kAvx512RowKernels[2];
extern const RowKernels kAvx512Bf16RowKernels[2];
extern const RowKernels kAvx512WidenedRowKernels[2];
const Kernels& avx512_bf16_kernels(bool widened);
#endif

void PrintTo(const RowKernels* table, std::ostream* out) {
  *out << table->name << (table->precision == Precision::kBf16 ? " bf16" : " fp32");
}

namespace {

std::vector<const RowKernels*> tables() {
  std::vector<const RowKernels*> all = {&kPortableRowKernels[0], &kPortableRowKernels[1]};
#if defined(__x86_64__)
  const auto add = [&](const RowKernels* both) { all.insert(all.end(), {both, both + 1}); };
  if (processor().avx2) add(kAvx2RowKernels);
  if (processor().avx512) add(kAvx512RowKernels);
  if (processor().avx512_bf16) {
    add(kAvx512Bf16RowKernels);
    add(kAvx512WidenedRowKernels);
  }
#endif
  return all;
}

std::vector<float> random(std::size_t size, std::uint64_t seed) {
  Rng rng({seed, size, 0, 0});
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

float to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
}

class RowKernelTable : public testing::TestWithParam<const RowKernels*> {
 protected:
  const RowKernels& k() const { return *GetParam(); }
  // What a value is once it is a factor.
  double factor(float value) const { return k().precision == Precision::kBf16 ? to_bf16(value) : value; }
  std::vector<Lane> factors(const std::vector<float>& rows, int n) const {
    const std::size_t lanes = lanes_of(k().precision, static_cast<std::size_t>(n)), count = rows.size() / static_cast<std::size_t>(n);
    std::vector<Lane> result(lanes * count);
    for (std::size_t r = 0; r < count; ++r) k().factors(n, rows.data() + r * static_cast<std::size_t>(n), result.data() + r * lanes);
    return result;
  }
  std::vector<Lane> row_factors(const std::vector<float>& rows, int n) const {
    const std::size_t lanes = row_lanes(k(), static_cast<std::size_t>(n)), count = rows.size() / static_cast<std::size_t>(n);
    std::vector<Lane> result(lanes * count);
    for (std::size_t r = 0; r < count; ++r) k().row_factors(n, rows.data() + r * static_cast<std::size_t>(n), result.data() + r * lanes);
    return result;
  }
};

TEST_P(RowKernelTable, RoundsFactors) {
  for (const int n : {1, 2, 3, 16, 31, 32, 33, 100}) {
    const auto x = random(static_cast<std::size_t>(n), 9);
    const std::size_t lanes = lanes_of(k().precision, static_cast<std::size_t>(n));
    std::vector<Lane> y(lanes + 1, 0xDEADBEEFU);
    k().factors(n, x.data(), y.data());
    EXPECT_EQ(y.back(), 0xDEADBEEFU) << "written beyond the end";
    for (int i = 0; i < n; ++i) {
      const Lane lane = k().precision == Precision::kFp32 ? y[static_cast<std::size_t>(i)]
                        : i % 2 == 0                      ? y[static_cast<std::size_t>(i / 2)] << 16
                                                          : y[static_cast<std::size_t>(i / 2)] & 0xFFFF0000U;
      EXPECT_EQ(std::bit_cast<float>(lane), static_cast<float>(factor(x[static_cast<std::size_t>(i)]))) << n << " at " << i;
    }
    if (k().precision == Precision::kBf16 && n % 2 == 1) {
      EXPECT_EQ(y[lanes - 1] >> 16, 0U);
    }
    // A row's are the same values, in lanes or one by one.
    std::vector<Lane> row(row_lanes(k(), static_cast<std::size_t>(n)) + 1, 0xDEADBEEFU);
    k().row_factors(n, x.data(), row.data());
    EXPECT_EQ(row.back(), 0xDEADBEEFU) << "written beyond the end";
    row.pop_back();
    y.pop_back();
    if (k().wide_rows) {
      std::vector<Lane> wide;
      for (const Lane lane : y) wide.insert(wide.end(), {lane << 16, lane & 0xFFFF0000U});
      y = wide;
    }
    EXPECT_EQ(row, y) << n;
  }
}

// 1e-5 of the sum of the products' sizes: fp32 sums of up to 1,100 terms.
TEST_P(RowKernelTable, Multiplies) {
  for (const auto& [m, n, depth] : {std::tuple{1, 1, 1}, std::tuple{3, 33, 7}, std::tuple{14, 64, 256}, std::tuple{29, 40, 511}, std::tuple{130, 70, 2500}}) {
    const auto a = random(static_cast<std::size_t>(m) * depth, 1), w = random(static_cast<std::size_t>(n) * depth, 2);
    const std::size_t lanes = lanes_of(k().precision, static_cast<std::size_t>(depth)), ldc = static_cast<std::size_t>(n) + 3;
    const auto a_L = row_factors(a, depth), w_L = factors(w, depth);
    const std::size_t row = row_lanes(k(), static_cast<std::size_t>(depth));
    std::vector<Lane> packed(packed_lanes(k().precision, static_cast<std::size_t>(depth), static_cast<std::size_t>(n)));
    k().pack(static_cast<int>(lanes), n, w_L.data(), lanes, packed.data());
    std::vector<float> c(static_cast<std::size_t>(m) * ldc, 0.5F), sum = c;
    k().product(m, n, static_cast<int>(lanes), a_L.data(), row, packed.data(), c.data(), ldc, false, nullptr);
    k().product(m, n, static_cast<int>(lanes), a_L.data(), row, packed.data(), sum.data(), ldc, true, nullptr);
    for (int i = 0; i < m; ++i) {
      for (int j = 0; j < n; ++j) {
        double expected = 0, size = 1;
        for (int x = 0; x < depth; ++x) {
          const double p = factor(a[static_cast<std::size_t>(i) * depth + x]) * factor(w[static_cast<std::size_t>(j) * depth + x]);
          expected += p;
          size += std::abs(p);
        }
        const std::size_t at = static_cast<std::size_t>(i) * ldc + static_cast<std::size_t>(j);
        ASSERT_NEAR(c[at], expected, 1e-5 * size) << m << " x " << n << " x " << depth << " at " << i << ", " << j;
        ASSERT_NEAR(sum[at], expected + 0.5, 1e-5 * size);
      }
      EXPECT_EQ(c[static_cast<std::size_t>(i) * ldc + static_cast<std::size_t>(n)], 0.5F) << "written beyond the columns";
    }
    for (int i = 0; i < m; ++i) {  // alone: the same bits
      std::vector<float> one(ldc, 0.5F);
      k().product(1, n, static_cast<int>(lanes), a_L.data() + static_cast<std::size_t>(i) * row, row, packed.data(), one.data(), ldc, false, nullptr);
      ASSERT_EQ(std::vector<float>(c.begin() + static_cast<std::ptrdiff_t>(i * ldc), c.begin() + static_cast<std::ptrdiff_t>((i + 1) * ldc)), one) << i;
    }
  }
}

// Of numbers below 2^-126 too, which the instruction for bf16 makes zero.
TEST_P(RowKernelTable, RowFactorsDoNotDependOnWhereAVectorEnds) {
  if (k().precision == Precision::kBf16 && !k().wide_rows) GTEST_SKIP() << "the product of pairs takes such numbers as zero";
  std::vector<float> x(67, 1e-39F);
  for (std::size_t i = 0; i < x.size(); i += 2) x[i] = -1.0F / static_cast<float>(i + 3);
  std::vector<Lane> all(row_lanes(k(), 67));
  k().row_factors(67, x.data(), all.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::vector<Lane> one(row_lanes(k(), 1), 7);
    k().row_factors(1, x.data() + i, one.data());
    ASSERT_EQ(one[0], all[i]) << i;
  }
}

// Tiles of every height, and memory asked for ahead: the bits are those of each row alone.
TEST_P(RowKernelTable, ProductsOfAnyNumberOfRowsAreThoseOfEachRow) {
  const int most = 130, n = 70, depth = 37;
  const std::size_t lanes = lanes_of(k().precision, depth), row = row_lanes(k(), depth), ldc = 70;
  const auto a = random(most * depth, 1), w = random(n * depth, 2);
  std::vector<Lane> a_L(most * row), w_L(n * lanes), packed(packed_lanes(k().precision, depth, n));
  for (int i = 0; i < most; ++i) k().row_factors(depth, a.data() + i * depth, a_L.data() + static_cast<std::size_t>(i) * row);
  for (int j = 0; j < n; ++j) k().factors(depth, w.data() + j * depth, w_L.data() + static_cast<std::size_t>(j) * lanes);
  k().pack(static_cast<int>(lanes), n, w_L.data(), lanes, packed.data());
  std::vector<float> alone(most * ldc);
  for (std::size_t i = 0; i < most; ++i) {
    k().product(1, n, static_cast<int>(lanes), a_L.data() + i * row, row, packed.data(), alone.data() + i * ldc, ldc, false, nullptr);
  }
  for (int m = 1; m <= most; ++m) {
    for (const Lane* after : {static_cast<const Lane*>(nullptr), static_cast<const Lane*>(packed.data())}) {
      std::vector<float> c(static_cast<std::size_t>(m) * ldc);
      k().product(m, n, static_cast<int>(lanes), a_L.data(), row, packed.data(), c.data(), ldc, false, after);
      ASSERT_TRUE(std::equal(c.begin(), c.end(), alone.begin())) << m << " rows";
    }
  }
}

// What the trainer's products give is what these give, to the bit, where it has the same instructions; both ways of multiplying bf16
// wherever they run, whichever this processor chooses.
TEST(RowKernels, ProductsAreTheTrainers) {
  std::vector<std::pair<const Kernels*, const RowKernels*>> pairs = {{&kernels(), &row_kernels(Precision::kFp32)}};
  if (bf16_kernels()) pairs.emplace_back(bf16_kernels(), &row_kernels(Precision::kBf16));
#if defined(__x86_64__)
  if (processor().avx512_bf16) {
    pairs.emplace_back(&avx512_bf16_kernels(false), &kAvx512Bf16RowKernels[1]);
    pairs.emplace_back(&avx512_bf16_kernels(true), &kAvx512WidenedRowKernels[1]);
  }
#endif
  for (const auto& [plain, rows] : pairs) {
    const RowKernels& k = *rows;
    const int m = 31, n = 50, depth = 2500;
    const auto a = random(static_cast<std::size_t>(m) * depth, 1), w = random(static_cast<std::size_t>(n) * depth, 2);
    const std::size_t lanes = lanes_of(k.precision, depth), row = row_lanes(k, depth);
    std::vector<Lane> a_L(row * m), w_L(lanes * n), packed(packed_lanes(k.precision, depth, n));
    for (int r = 0; r < m; ++r) k.row_factors(depth, a.data() + r * depth, a_L.data() + static_cast<std::size_t>(r) * row);
    for (int r = 0; r < n; ++r) k.factors(depth, w.data() + r * depth, w_L.data() + static_cast<std::size_t>(r) * lanes);
    k.pack(static_cast<int>(lanes), n, w_L.data(), lanes, packed.data());
    std::vector<float> theirs(packed_size(depth, n)), expected(static_cast<std::size_t>(m * n), 1.0F), got = expected;
    plain->pack_cols(depth, n, w.data(), depth, theirs.data());
    plain->gemm(m, n, depth, a.data(), depth, 1, theirs.data(), expected.data(), n, true);
    k.product(m, n, static_cast<int>(lanes), a_L.data(), row, packed.data(), got.data(), n, true, nullptr);
    EXPECT_EQ(got, expected) << plain->name;
  }
}

// Every NaN is the same one: its sign is nobody's promise.
std::vector<std::uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(std::isnan(value) ? std::nanf("") : value));
  return bits;
}

// The second of three layers of a paged cache with the keys and values of one sequence; its blocks lie out of order, with gaps.
struct Paged {
  static constexpr std::size_t kLayer = 1;
  const RowKernels& k;
  int kv_heads, head_dim, tokens;
  KvShape shape;
  std::vector<std::uint32_t> blocks;
  std::vector<Lane> cache;
  std::vector<float> keys, values;  // plain: [token][kv_heads * head_dim]

  // `gap`: blocks between one and the next. What lies beside the keys must not matter, so it is not a number.
  Paged(const RowKernels& table, int groups, int width, int count, std::uint32_t gap, int together)
      : k(table), kv_heads(groups), head_dim(width), tokens(count), shape(table.precision, 3, groups, width, together) {
    for (int t = 0; t < tokens; ++t) {  // a token's do not depend on how many there are
      const auto size = static_cast<std::size_t>(kv_heads * head_dim), token = static_cast<std::size_t>(t);
      const auto key = random(size, 2 * token + 11), value = random(size, 2 * token + 12);
      keys.insert(keys.end(), key.begin(), key.end());
      values.insert(values.end(), value.begin(), value.end());
    }
    const auto used = static_cast<std::uint32_t>((tokens + kBlockTokens - 1) / kBlockTokens);
    for (std::uint32_t b = used; b-- > 0;) blocks.push_back(b * gap + 1);
    cache.assign(shape.block_lanes() * (used * gap + 8), 0x7FC07FC0U);
    for (int t = 0; t < tokens; ++t) {
      const std::uint32_t block = blocks[static_cast<std::size_t>(t / kBlockTokens)];
      for (int g = 0; g < kv_heads; ++g) {
        const std::size_t at = static_cast<std::size_t>((t * kv_heads + g) * head_dim), head = static_cast<std::size_t>(g);
        k.place(head_dim, t % kBlockTokens, keys.data() + at, values.data() + at, cache.data() + shape.keys(block, kLayer, head),
                cache.data() + shape.values(block, kLayer, head));
      }
    }
  }

  // Of rows at positions first, first + 1, ...; q and the result are [rows][kv_heads * group * head_dim].
  std::vector<float> attend(const std::vector<float>& q, int group, int rows, int first, int window) const {
    const std::size_t head = row_lanes(k, static_cast<std::size_t>(head_dim)), heads = static_cast<std::size_t>(kv_heads * group);
    std::vector<Lane> factors(static_cast<std::size_t>(rows) * heads * head);
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows) * heads; ++i) {
      k.row_factors(head_dim, q.data() + i * static_cast<std::size_t>(head_dim), factors.data() + i * head);
    }
    std::vector<float> out(q.size());
    std::vector<Lane> scratch(kAttentionScratch);
    std::vector<float> parts(attention_parts(first + rows, head_dim));
    for (int g = 0; g < kv_heads; ++g) {
      Attention a;
      a.head_dim = head_dim;
      a.group = group;
      a.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
      a.window = window;
      a.shape = &shape;
      a.keys = cache.data() + shape.keys(0, kLayer, static_cast<std::size_t>(g));
      a.values = cache.data() + shape.values(0, kLayer, static_cast<std::size_t>(g));
      a.blocks = blocks.data();
      a.rows = rows;
      a.first = first;
      a.q = factors.data() + static_cast<std::size_t>(g * group) * head;
      a.q_row = heads * head;
      a.q_head = head;
      a.out = out.data() + g * group * head_dim;
      a.out_row = heads * static_cast<std::size_t>(head_dim);
      a.out_head = static_cast<std::size_t>(head_dim);
      a.scratch = scratch.data();
      a.parts = parts.data();
      k.attend(a);
      if (rows == 1) expect_same_in_parts(a);
    }
    return out;
  }

  // The parts that threads share give attend()'s bits, however they are cut.
  void expect_same_in_parts(Attention a) const {
    const std::vector<float> whole(a.out, a.out + a.group * a.head_dim);
    std::vector<float> out(whole.size()), parts(attention_parts(a.first + 1, a.head_dim), std::nanf(""));
    std::vector<Lane> scratch(kAttentionScratch, 0x7FC00000U);
    a.out = out.data();
    a.scratch = scratch.data();
    a.parts = parts.data();
    a.next = a.keys;  // asks for memory, and changes nothing
    for (int part = parts_seen(a.first, a.window); part-- > 0;) k.attend_part(a, part);
    for (int head = a.group; head-- > 0;) k.attend_join(a, head);
    EXPECT_EQ(bits_of(out), bits_of(whole)) << "head_dim " << a.head_dim << ", position " << a.first << ", window " << a.window;
  }

  template <class Factor>
  double expected(const Factor& factor, const std::vector<float>& q, int group, int row, int position, int window, int head, int d) const {
    const int g = head / group, from = window > 0 ? std::max(0, position + 1 - window) : 0;
    std::vector<double> score;
    double top = -1e300, sum = 0, out = 0;
    for (int j = from; j <= position; ++j) {
      double s = 0;
      for (int x = 0; x < head_dim; ++x) {
        s += factor(q[static_cast<std::size_t>((row * kv_heads * group + head) * head_dim + x)]) *
             factor(keys[static_cast<std::size_t>((j * kv_heads + g) * head_dim + x)]);
      }
      score.push_back(s / std::sqrt(static_cast<double>(head_dim)));
      top = std::max(top, score.back());
    }
    for (int j = from; j <= position; ++j) {
      const double p = std::exp(score[static_cast<std::size_t>(j - from)] - top);
      sum += p;
      out += p * factor(values[static_cast<std::size_t>((j * kv_heads + g) * head_dim + d)]);
    }
    return out / sum;
  }
};

// Sums of some tens of terms around 1 and an exp of about 2 ulp. Where pairs of bf16 are multiplied, the weights of the values are
// rounded too, to 2^-9 of each.
double attention_tolerance(const RowKernels& k) { return k.precision == Precision::kBf16 && !k.wide_rows ? 6e-3 : 2e-5; }

TEST_P(RowKernelTable, Attends) {
  const double tolerance = attention_tolerance(k());
  for (const int head_dim : {2, 10, 16, 32, 48, 64, 80, 128}) {
    for (const int group : {1, 3}) {
      for (const int rows : {1, 2, 5}) {
        for (const int window : {0, 20}) {
          const int kv_heads = 2, first = 33, heads = kv_heads * group;
          const Paged paged(k(), kv_heads, head_dim, first + rows, 3, 4);
          const auto q = random(static_cast<std::size_t>(rows * heads * head_dim), 3);
          const auto got = paged.attend(q, group, rows, first, window);
          for (int r = 0; r < rows; ++r) {
            for (int h = 0; h < heads; ++h) {
              for (int d = 0; d < head_dim; ++d) {
                const double expected = paged.expected([this](float v) { return factor(v); }, q, group, r, first + r, window, h, d);
                ASSERT_NEAR(got[static_cast<std::size_t>((r * heads + h) * head_dim + d)], expected, tolerance)
                    << "head_dim " << head_dim << ", rows " << rows << ", row " << r << ", head " << h << ", element " << d << ", window " << window;
              }
            }
          }
        }
      }
    }
  }
}

// As much of a sequence as three parts of attention, and windows that begin in one of them.
TEST_P(RowKernelTable, AttendsToLongSequences) {
  const double tolerance = attention_tolerance(k());
  const int kv_heads = 2, group = 3, head_dim = 48, rows = 5, heads = kv_heads * group;
  for (const int first : {509, 1022, 1300}) {
    for (const int window : {0, 3, 300, 600}) {
      const Paged paged(k(), kv_heads, head_dim, first + rows, 1, 8);
      auto q = random(static_cast<std::size_t>(rows * heads * head_dim), 3);
      for (float& value : q) value *= 8;  // some keys count much more than others, and parts differ
      const auto got = paged.attend(q, group, rows, first, window);
      for (int r = 0; r < rows; ++r) {
        for (int h = 0; h < heads; ++h) {
          for (const int d : {0, 17, 47}) {
            const double expected = paged.expected([this](float v) { return factor(v); }, q, group, r, first + r, window, h, d);
            ASSERT_NEAR(got[static_cast<std::size_t>((r * heads + h) * head_dim + d)], expected, tolerance)
                << "first " << first << ", row " << r << ", head " << h << ", element " << d << ", window " << window;
          }
        }
      }
    }
  }
}

// The largest score leaves NaN out; what comes of it does not.
TEST_P(RowKernelTable, AQueryThatIsNotANumberStaysSoAndAlone) {
  const int kv_heads = 1, group = 3, head_dim = 32;
  for (const int first : {40, 700}) {
    const Paged paged(k(), kv_heads, head_dim, first + 1, 3, 4);
    auto q = random(static_cast<std::size_t>(group * head_dim), 3);
    const auto sound = paged.attend(q, group, 1, first, 0);
    q[head_dim + 5] = std::nanf("");
    const auto got = paged.attend(q, group, 1, first, 0);
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (i / head_dim == 1) ASSERT_TRUE(std::isnan(got[i])) << i;
      else ASSERT_EQ(got[i], sound[i]) << i;
    }
  }
}

// What the header promises: a row's bits depend neither on the rows beside it nor on where its keys lie.
TEST_P(RowKernelTable, ARowHasTheSameBitsInEveryCompany) {
  for (const int head_dim : {10, 32, 64}) {
    for (const auto& [first, window] : {std::pair(5, 0), std::pair(5, 23), std::pair(500, 0), std::pair(500, 23), std::pair(1010, 600)}) {
      const int kv_heads = 2, group = 2, rows = 37;
      const std::size_t width = static_cast<std::size_t>(kv_heads * group * head_dim);
      const Paged paged(k(), kv_heads, head_dim, first + rows, 1, 8);
      const auto q = random(rows * width, 3);
      const auto together = paged.attend(q, group, rows, first, window);
      for (int r = 0; r < rows; ++r) {
        const auto begin = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(r) * width), end = begin + static_cast<std::ptrdiff_t>(width);
        const std::vector<float> one(q.begin() + begin, q.begin() + end), expected(together.begin() + begin, together.begin() + end);
        EXPECT_EQ(paged.attend(one, group, 1, first + r, window), expected) << head_dim << ", row " << r;
        // Before the sequence went on, and with its blocks elsewhere.
        const Paged shorter(k(), kv_heads, head_dim, first + r + 1, 4, 1);
        EXPECT_EQ(shorter.attend(one, group, 1, first + r, window), expected) << head_dim << ", row " << r;
      }
    }
  }
}

TEST_P(RowKernelTable, FindsTheLargest) {
  for (const int n : {1, 7, 15, 16, 17, 33, 100}) {
    std::vector<float> x = random(static_cast<std::size_t>(n), 6);
    for (float& value : x) value -= 100;  // so that a lane beyond the end, read as 0, would win
    EXPECT_EQ(k().largest(n, x.data()), *std::max_element(x.begin(), x.end())) << n;
    for (int at = 0; at < n; ++at) {
      std::vector<float> bad = x;
      bad[static_cast<std::size_t>(at)] = std::numeric_limits<float>::quiet_NaN();
      EXPECT_TRUE(std::isnan(k().largest(n, bad.data()))) << n << " at " << at;
    }
  }
}

TEST_P(RowKernelTable, Exponentials) {
  for (const int n : {1, 7, 15, 16, 17, 33, 100}) {
    const auto x = random(static_cast<std::size_t>(n), 7);
    const float top = k().largest(n, x.data()), scale = 1.7F;
    std::vector<float> y(static_cast<std::size_t>(n) + 1, 12345.5F);
    const float sum = k().exponentials(n, x.data(), top, scale, y.data());
    double expected = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double e = std::exp((double(x[i]) - double(top)) * double(scale));
      EXPECT_NEAR(y[i], e, 1e-6 * e + 1e-30) << n;
      expected += e;
    }
    EXPECT_NEAR(sum, expected, 1e-6 * expected) << n;
    EXPECT_EQ(y.back(), 12345.5F) << "written beyond the end";
    EXPECT_EQ(k().exponentials(n, x.data(), top, scale, nullptr), sum) << "the same without a place for them";
  }
}

// A vocabulary of nearly equal ones, whose fp32 sum rounds each of them the same way (one of 2,048 in 4 places: 512 roundings of 2^-25).
TEST_P(RowKernelTable, SumsManyExponentials) {
  for (const int n : {2047, 2048, 2049, 4097, 100001}) {
    std::vector<float> x(static_cast<std::size_t>(n), std::log(2e-5F)), y(static_cast<std::size_t>(n) + 1, 12345.5F);
    x[static_cast<std::size_t>(n) / 2] = 0;
    const float sum = k().exponentials(n, x.data(), 0, 1, y.data());
    const double expected = 1 + (n - 1) * std::exp(double(x[0]));
    EXPECT_NEAR(sum, expected, 1.6e-5 * expected) << n;
    EXPECT_EQ(y.back(), 12345.5F) << "written beyond the end";
    for (const int at : {0, n / 2 - 1, n / 2 + 1, n - 1}) EXPECT_NEAR(y[static_cast<std::size_t>(at)], 2e-5, 2e-10) << n << " at " << at;
    EXPECT_EQ(k().exponentials(n, x.data(), 0, 1, nullptr), sum) << "the same without a place for them";
  }
}

// All that 8 bits hold, to the bit, and as factors and `pack` make it.
TEST_P(RowKernelTable, Widens8Bits) {
  const int pair = k().precision == Precision::kBf16 ? 2 : 1;
  for (const int lanes : {1, 2, 7, 33}) {
    const int depth = lanes * pair;
    std::vector<std::int8_t> numbers(static_cast<std::size_t>(depth * kPanel));
    std::vector<float> values(numbers.size());  // [outputs][depth]
    for (int i = 0; i < depth; ++i) {
      for (int j = 0; j < kPanel; ++j) {
        const auto number = static_cast<std::int8_t>((i * kPanel + j) * 77 % 256 - 128);  // each of them once in 256
        numbers[static_cast<std::size_t>(i * kPanel + j)] = number;
        values[static_cast<std::size_t>(j * depth + i)] = number;
      }
    }
    std::vector<Lane> panel(static_cast<std::size_t>(lanes * kPanel) + 1, 0xDEADBEEFU), packed(static_cast<std::size_t>(lanes * kPanel));
    k().widen8(lanes, numbers.data(), panel.data());
    EXPECT_EQ(panel.back(), 0xDEADBEEFU) << "written beyond the end";
    panel.pop_back();
    for (int i = 0; i < depth; ++i) {
      for (int j = 0; j < kPanel; ++j) {
        const Lane lane = panel[static_cast<std::size_t>(i / pair * kPanel + j)];
        const Lane bits = pair == 1 ? lane : i % 2 == 0 ? lane << 16 : lane & 0xFFFF0000U;
        ASSERT_EQ(std::bit_cast<float>(bits), static_cast<float>(numbers[static_cast<std::size_t>(i * kPanel + j)])) << i << ", " << j;
      }
    }
    const auto factors_of = factors(values, depth);
    k().pack(lanes, kPanel, factors_of.data(), static_cast<std::size_t>(lanes), packed.data());
    EXPECT_EQ(panel, packed) << lanes;
  }
}

// One rounding, or two where a sum is added to: of the product, then of the sum, or of both at once.
TEST_P(RowKernelTable, ScalesColumns) {
  for (const int m : {1, 3}) {
    for (int n = 1; n <= kPanel; ++n) {
      const std::size_t ldc = static_cast<std::size_t>(n) + 5;
      const auto sums = random(static_cast<std::size_t>(m * kPanel), 21), scales = random(static_cast<std::size_t>(n), 22);
      const auto before = random(static_cast<std::size_t>(m) * ldc, 23);
      for (const bool add : {false, true}) {
        std::vector<float> c = before;
        k().scaled(m, n, sums.data(), scales.data(), c.data(), ldc, add);
        for (std::size_t at = 0; at < c.size(); ++at) {
          const std::size_t row = at / ldc, column = at % ldc;
          if (column >= scales.size()) {
            ASSERT_EQ(c[at], before[at]) << "written beyond column " << n;
            continue;
          }
          const float sum = sums[row * kPanel + column], scale = scales[column];
          const volatile float product = sum * scale;  // rounded, whatever the compiler makes of sums of products
          if (add) ASSERT_TRUE(c[at] == before[at] + product || c[at] == std::fma(sum, scale, before[at])) << row << ", " << column << " of " << n;
          else ASSERT_EQ(c[at], product) << row << ", " << column << " of " << n;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RowKernelTable, testing::ValuesIn(tables()), [](const auto& table) {
  std::string name = table.param->name;
  std::replace_if(name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name + (table.param->precision == Precision::kBf16 ? "_in_bf16" : "_in_fp32");
});

}  // namespace
}  // namespace precept::nn
