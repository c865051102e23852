// Every table of the engine's row kernels that this processor can run against plain double-precision arithmetic.
#include "precept/lm/infer/kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "precept/core/rng.h"

namespace precept::infer {

// The tables themselves: kernels() only gives the fastest.
extern const Kernels kPortableInferKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2InferKernels;
extern const Kernels kAvx512InferKernels;
#endif

void PrintTo(const Kernels* table, std::ostream* out) { *out << table->name; }

namespace {

std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> all = {&kPortableInferKernels};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) all.push_back(&kAvx2InferKernels);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    all.push_back(&kAvx512InferKernels);
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

// A paged cache of one layer with the keys of one sequence, cut into spans of these lengths.
struct Paged {
  int kv_heads, head_dim;
  std::vector<Span> spans;
  std::vector<float> cache;
  std::vector<std::size_t> value_at;
  std::vector<float> keys, values;  // plain: [token][kv_heads * head_dim]

  Paged(int groups, int width, const std::vector<int>& lengths) : kv_heads(groups), head_dim(width) {
    const std::size_t G = groups, D = width, half = G * D * kBlockTokens;
    int tokens = 0;
    for (const int length : lengths) tokens += length;
    keys = random(static_cast<std::size_t>(tokens) * G * D, 1);
    values = random(static_cast<std::size_t>(tokens) * G * D, 2);
    // What lies beside the keys must not matter.
    cache.assign(2 * half * (2 * lengths.size() + 1), std::numeric_limits<float>::quiet_NaN());
    std::size_t token = 0;
    for (std::size_t b = 0; b < lengths.size(); ++b) {
      const std::size_t block = 2 * (lengths.size() - b) - 1;  // not in order, with gaps
      spans.push_back({static_cast<std::uint32_t>(block), lengths[b]});
      std::fill_n(cache.begin() + static_cast<std::ptrdiff_t>(block * 2 * half), 2 * half, 7.5F);  // what a sequence before left there
      for (int slot = 0; slot < lengths[b]; ++slot, ++token) {
        value_at.push_back(block * 2 * half + half + static_cast<std::size_t>(slot) * D);
        for (std::size_t g = 0; g < G; ++g) {
          for (std::size_t d = 0; d < D; ++d) {
            cache[block * 2 * half + (g * D + d) * kBlockTokens + static_cast<std::size_t>(slot)] = keys[token * G * D + g * D + d];
            cache[value_at.back() + g * D * kBlockTokens + d] = values[token * G * D + g * D + d];
          }
        }
      }
    }
  }

  std::vector<float> attend(const Kernels& k, const std::vector<float>& q, int heads, int rows, int seen) const {
    const std::size_t width = static_cast<std::size_t>(heads) * static_cast<std::size_t>(head_dim);
    std::vector<float> out(static_cast<std::size_t>(rows) * width), scratch(attention_scratch(static_cast<std::size_t>(seen + rows)));
    Attention a;
    a.heads = heads;
    a.kv_heads = kv_heads;
    a.head_dim = head_dim;
    a.scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    a.keys = cache.data();
    a.block_stride = 2 * static_cast<std::size_t>(kv_heads) * static_cast<std::size_t>(head_dim) * kBlockTokens;
    a.spans = spans.data();
    a.value_at = value_at.data();
    a.rows = rows;
    a.seen = seen;
    a.q = q.data();
    a.q_stride = a.out_stride = width;
    a.out = out.data();
    a.scratch = scratch.data();
    k.attend(a);
    return out;
  }

  double expected(const std::vector<float>& q, int heads, int row, int seen, int head, int d) const {
    const std::size_t G = kv_heads, D = head_dim, g = static_cast<std::size_t>(head / (heads / kv_heads));
    std::vector<double> score(static_cast<std::size_t>(seen));
    double top = -1e300, sum = 0, out = 0;
    for (std::size_t j = 0; j < score.size(); ++j) {
      for (std::size_t x = 0; x < D; ++x) {
        score[j] += double(q[(static_cast<std::size_t>(row) * heads + head) * D + x]) * double(keys[(j * G + g) * D + x]);
      }
      score[j] /= std::sqrt(static_cast<double>(D));
      top = std::max(top, score[j]);
    }
    for (std::size_t j = 0; j < score.size(); ++j) {
      const double p = std::exp(score[j] - top);
      sum += p;
      out += p * double(values[(j * G + g) * D + static_cast<std::size_t>(d)]);
    }
    return out / sum;
  }
};

class InferKernelTable : public testing::TestWithParam<const Kernels*> {
 protected:
  const Kernels& k() const { return *GetParam(); }
};

// 2e-5: fp32 sums of some tens of terms around 1, and an exp of about 2 ulp.
TEST_P(InferKernelTable, Attends) {
  for (const int head_dim : {10, 16, 32, 48, 64, 80, 128}) {
    for (const int group : {1, 3}) {
      for (const int rows : {1, 2, 5}) {
        const int heads = 2 * group, seen = 33;
        const Paged paged(2, head_dim, {16, 5, 1, 16});
        const auto q = random(static_cast<std::size_t>(rows * heads * head_dim), 3);
        const auto got = paged.attend(k(), q, heads, rows, seen);
        for (int r = 0; r < rows; ++r) {
          for (int h = 0; h < heads; ++h) {
            for (int d = 0; d < head_dim; ++d) {
              ASSERT_NEAR(got[(static_cast<std::size_t>(r) * heads + h) * head_dim + d], paged.expected(q, heads, r, seen + r, h, d), 2e-5)
                  << "head_dim " << head_dim << ", rows " << rows << ", row " << r << ", head " << h << ", element " << d;
            }
          }
        }
      }
    }
  }
}

// What the header promises: a row's bits depend neither on the rows beside it nor on how its keys are spread.
TEST_P(InferKernelTable, ARowHasTheSameBitsInEveryCompany) {
  for (const int head_dim : {10, 32, 64}) {
    const int heads = 4, rows = 5, seen = 33;
    const std::size_t width = static_cast<std::size_t>(heads * head_dim);
    const Paged paged(2, head_dim, {16, 5, 1, 16}), other(2, head_dim, {3, 16, 16, 3});
    const auto q = random(rows * width, 3);
    const auto together = paged.attend(k(), q, heads, rows, seen);
    EXPECT_EQ(other.attend(k(), q, heads, rows, seen), together) << head_dim;
    for (int r = 0; r < rows; ++r) {
      const std::vector<float> one(q.begin() + static_cast<std::ptrdiff_t>(r * width), q.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
      const std::vector<float> expected(together.begin() + static_cast<std::ptrdiff_t>(r * width),
                                        together.begin() + static_cast<std::ptrdiff_t>((r + 1) * width));
      EXPECT_EQ(paged.attend(k(), one, heads, 1, seen + r), expected) << head_dim << ", row " << r;
    }
  }
}

TEST_P(InferKernelTable, Rotates) {
  for (const int head_dim : {2, 10, 16, 32, 80}) {
    const int heads = 3, half = head_dim / 2;
    const auto before = random(static_cast<std::size_t>(heads * head_dim), 4), angles = random(static_cast<std::size_t>(half), 5);
    std::vector<float> cosines, sines, x = before;
    for (const float angle : angles) {
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
    k().rotate(heads, head_dim, cosines.data(), sines.data(), x.data());
    for (int h = 0; h < heads; ++h) {
      for (int i = 0; i < half; ++i) {
        const std::size_t at = static_cast<std::size_t>(h * head_dim + i), pair = at + static_cast<std::size_t>(half);
        const double c = cosines[static_cast<std::size_t>(i)], s = sines[static_cast<std::size_t>(i)];
        EXPECT_NEAR(x[at], before[at] * c - before[pair] * s, 1e-6) << head_dim;
        EXPECT_NEAR(x[pair], before[pair] * c + before[at] * s, 1e-6) << head_dim;
      }
    }
  }
}

TEST_P(InferKernelTable, FindsTheLargest) {
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

TEST_P(InferKernelTable, Exponentials) {
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

INSTANTIATE_TEST_SUITE_P(All, InferKernelTable, testing::ValuesIn(tables()),
                         [](const auto& table) {
                           std::string name = table.param->name;
                           std::replace_if(name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace precept::infer
