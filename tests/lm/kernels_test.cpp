// Every table of kernels that this processor can run against plain double-precision arithmetic, on sizes that fill
// neither vectors nor tiles nor panels, and with margins around the matrices that nothing may touch.
#include "precept/lm/nn/kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "precept/core/rng.h"
#include "precept/lm/nn/memory.h"
#include "precept/lm/nn/processor.h"

namespace precept::nn {

// The tables themselves: kernels() only gives the fastest.
extern const Kernels kPortableKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
const Kernels& avx512_bf16_kernels(bool widened);
#endif

namespace {

constexpr int kSizes[] = {1, 7, 15, 17, 33};
constexpr float kUntouched = 12345.5F;

struct Table {
  const Kernels* kernels;
  bool bf16;  // factors of products are rounded to bf16
};

void PrintTo(const Table& table, std::ostream* out) { *out << table.kernels->name; }

std::vector<Table> tables() {
  std::vector<Table> all = {{&kPortableKernels, false}};
#if defined(__x86_64__)
  if (processor().avx2) all.push_back({&kAvx2Kernels, false});
  if (processor().avx512) all.push_back({&kAvx512Kernels, false});
  if (processor().avx512_bf16) all.insert(all.end(), {{&avx512_bf16_kernels(false), true}, {&avx512_bf16_kernels(true), true}});
#endif
  return all;
}

std::vector<float> random(std::size_t size, std::uint64_t seed) {
  Rng rng({seed, size, 0, 0});
  std::vector<float> values(size);
  for (float& value : values) value = float(rng.normal());
  return values;
}

double rounded(float value, bool bf16) {
  if (!bf16) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
}

class KernelTable : public testing::TestWithParam<Table> {
 protected:
  const Kernels& k() const { return *GetParam().kernels; }
  bool bf16() const { return GetParam().bf16; }

  // C = A B (or +=) with every way of giving A and B; rows of all matrices are `margin` floats longer than they need.
  void product(int m, int n, int depth, bool add, std::size_t margin) {
    const auto M = std::size_t(m), N = std::size_t(n), K = std::size_t(depth);
    const std::vector<float> a_MK = random(M * K, 1), b_KN = random(K * N, 2);
    std::vector<double> expected(M * N), size(M * N);
    for (std::size_t i = 0; i < M; ++i) {
      for (std::size_t j = 0; j < N; ++j) {
        for (std::size_t x = 0; x < K; ++x) {
          const double term = rounded(a_MK[i * K + x], bf16()) * rounded(b_KN[x * N + j], bf16());
          expected[i * N + j] += term;
          size[i * N + j] += std::abs(term);
        }
      }
    }
    for (const bool a_by_columns : {false, true}) {
      for (const bool b_turned : {false, true}) {
        const std::size_t lda = (a_by_columns ? M : K) + margin, ldb = (b_turned ? K : N) + margin, ldc = N + margin;
        std::vector<float> a((a_by_columns ? K : M) * lda), b((b_turned ? N : K) * ldb), c(M * ldc, kUntouched);
        for (std::size_t i = 0; i < M; ++i) {
          for (std::size_t x = 0; x < K; ++x) a[a_by_columns ? x * lda + i : i * lda + x] = a_MK[i * K + x];
        }
        for (std::size_t x = 0; x < K; ++x) {
          for (std::size_t j = 0; j < N; ++j) b[b_turned ? j * ldb + x : x * ldb + j] = b_KN[x * N + j];
        }
        Floats packed(packed_size(K, N));
        (b_turned ? k().pack_cols : k().pack_rows)(depth, n, b.data(), ldb, packed.data());
        if (add) {
          for (std::size_t i = 0; i < M; ++i) std::fill_n(c.begin() + std::ptrdiff_t(i * ldc), n, 0.5F);
        }
        k().gemm(m, n, depth, a.data(), a_by_columns ? 1 : lda, a_by_columns ? lda : 1, packed.data(), c.data(), ldc, add);
        for (std::size_t i = 0; i < M; ++i) {
          for (std::size_t j = 0; j < ldc; ++j) {
            if (j >= N) {
              ASSERT_EQ(c[i * ldc + j], kUntouched) << "written beyond the row";
              continue;
            }
            // Every partial sum is rounded to 24 bits: at most depth roundings of at most the sum of sizes.
            const double bound = (depth + 2) * 6e-8 * (size[i * N + j] + 0.5);
            ASSERT_NEAR(c[i * ldc + j], expected[i * N + j] + (add ? 0.5 : 0.0), bound)
                << m << " x " << n << " x " << depth << " at " << i << ", " << j << (a_by_columns ? ", A by columns" : "")
                << (b_turned ? ", B turned" : "");
          }
        }
      }
    }
  }
};

TEST_P(KernelTable, ProductsOfOddSizes) {
  for (const int m : kSizes) {
    for (const int n : kSizes) {
      for (const int depth : kSizes) {
        product(m, n, depth, false, 0);
        product(m, n, depth, true, 3);
      }
    }
  }
}

TEST_P(KernelTable, ProductsDeeperAndTallerThanOnePass) {
  product(61, 33, 513, false, 1);
  product(15, 65, 1025, true, 5);
  product(15, 33, 2049, true, 1);  // of bf16 too
}

// Panels turned are what packing the rows gives, byte for byte, zeros at their ends too; of whole matrices and of some rows in the middle.
TEST_P(KernelTable, TurnsPanelsIntoThoseThatRowsArePackedTo) {
  const auto lanes = [&](int n) { return std::size_t(bf16() ? (n + 1) / 2 : n); };
  for (const int rows : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130}) {
    for (const int cols : {1, 2, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130}) {
      for (const int before : {0, kPanel, 3 * kPanel}) {
        const auto K = std::size_t(cols);
        const std::vector<float> w = random(std::size_t(before + rows) * K, 14);
        const std::size_t panel = lanes(cols) * kPanel, size = packed_size(lanes(rows), K);
        Floats outputs(packed_size(lanes(cols), std::size_t(before + rows)), kUntouched), turned(size + 16, kUntouched), expected = turned;
        k().pack_cols(cols, before + rows, w.data(), K, outputs.data());
        k().pack_rows(rows, cols, w.data() + std::size_t(before) * K, K, expected.data());
        k().turn_panels(rows, cols, outputs.data() + std::size_t(before / kPanel) * panel, panel, turned.data());
        ASSERT_EQ(std::memcmp(turned.data(), expected.data(), turned.size() * sizeof(float)), 0) << rows << " x " << cols << " after " << before;
      }
    }
  }
}

// What Weights::times rests on: a product in slabs of kDepthLanes has the bits of the whole.
TEST_P(KernelTable, ProductsInSlabsHaveTheBitsOfTheWhole) {
  const int slab = kDepthLanes * (bf16() ? 2 : 1), m = 61, n = 70;
  for (const int depth : {slab - 1, slab, slab + 1, 2 * slab + 77}) {
    const auto M = std::size_t(m), N = std::size_t(n), K = std::size_t(depth);
    const std::vector<float> a = random(M * K, 15), b = random(K * N, 16);
    std::vector<float> whole(M * N), slabs(M * N, kUntouched);
    Floats packed(packed_size(K + 1, N));
    k().pack_rows(depth, n, b.data(), N, packed.data());
    k().gemm(m, n, depth, a.data(), K, 1, packed.data(), whole.data(), N, false);
    for (int at = 0; at < depth; at += slab) {
      const int some = std::min(slab, depth - at);
      k().pack_rows(some, n, b.data() + std::size_t(at) * N, N, packed.data());
      k().gemm(m, n, some, a.data() + at, K, 1, packed.data(), slabs.data(), N, at > 0);
    }
    EXPECT_EQ(std::memcmp(whole.data(), slabs.data(), whole.size() * sizeof(float)), 0) << depth;
  }
}

TEST_P(KernelTable, RmsNormForwardsAndBackwards) {
  for (const int t : kSizes) {
    for (const int c : kSizes) {
      const auto T = std::size_t(t), C = std::size_t(c);
      const std::vector<float> x = random(T * C, 3), w = random(C, 4), dy = random(T * C, 5), dx0 = random(T * C, 6), dw0 = random(C, 7);
      std::vector<float> y(T * C), rstd(T), dx = dx0, dw = dw0;
      k().rmsnorm(t, c, x.data(), w.data(), 1e-5F, y.data(), rstd.data());
      k().rmsnorm_back(t, c, x.data(), w.data(), rstd.data(), dy.data(), dx.data(), dw.data());
      std::vector<double> dw_expected(dw0.begin(), dw0.end());
      for (std::size_t i = 0; i < T; ++i) {
        double squares = 0, dot = 0;
        for (std::size_t j = i * C; j < (i + 1) * C; ++j) squares += double(x[j]) * x[j];
        const double r = 1 / std::sqrt(squares / c + 1e-5);
        for (std::size_t j = 0; j < C; ++j) dot += double(dy[i * C + j]) * w[j] * x[i * C + j];
        ASSERT_NEAR(rstd[i], r, 1e-5 * r);
        for (std::size_t j = 0; j < C; ++j) {
          const std::size_t at = i * C + j;
          ASSERT_NEAR(y[at], x[at] * r * w[j], 1e-5 * (1 + std::abs(x[at] * r * w[j])));
          const double direct = double(dy[at]) * w[j] * r, pull = x[at] * dot * r * r * r / c;
          ASSERT_NEAR(dx[at], dx0[at] + direct - pull, 1e-5 * (1 + std::abs(direct) + std::abs(pull) + std::abs(dot) * r * r * r));
          dw_expected[j] += double(dy[at]) * x[at] * r;
        }
      }
      for (std::size_t j = 0; j < C; ++j) ASSERT_NEAR(dw[j], dw_expected[j], 1e-5 * (t + std::abs(dw_expected[j])));
    }
  }
}

TEST_P(KernelTable, SwigluForwardsAndBackwards) {
  for (const int t : kSizes) {
    for (const int f : kSizes) {
      const auto T = std::size_t(t), F = std::size_t(f);
      std::vector<float> gate_up = random(T * 2 * F, 8);
      gate_up[0] = -60.0F;  // where exp leaves the range of floats, too
      const std::vector<float> before = gate_up, ds = random(T * F, 9);
      std::vector<float> s(T * F);
      k().swiglu(t, f, gate_up.data(), s.data());
      k().swiglu_back(t, f, gate_up.data(), ds.data());
      for (std::size_t i = 0; i < T; ++i) {
        for (std::size_t j = 0; j < F; ++j) {
          const double g = before[i * 2 * F + j], up = before[i * 2 * F + F + j], d = ds[i * F + j];
          const double sigmoid = 1 / (1 + std::exp(-g)), silu = g * sigmoid;
          const double slope = sigmoid + silu * (1 - sigmoid);
          ASSERT_NEAR(s[i * F + j], silu * up, 2e-6 * (1 + std::abs(silu * up)));
          ASSERT_NEAR(gate_up[i * 2 * F + j], d * up * slope, 4e-6 * (1 + std::abs(d * up)));
          ASSERT_NEAR(gate_up[i * 2 * F + F + j], d * silu, 2e-6 * (1 + std::abs(d * silu)));
        }
      }
    }
  }
}

TEST_P(KernelTable, CausalSoftmaxForwardsAndBackwards) {
  for (const int rows : kSizes) {
    for (const auto& [first, window] : {std::pair{0, 0}, {5, 0}, {16, 0}, {16, 1}, {16, 7}, {5, 40}}) {
      const int n = first + rows + 2;
      const std::size_t lds = std::size_t(n) + 3;
      const float scale = 0.37F;
      std::vector<float> s = random(std::size_t(rows) * lds, 10);
      for (float& value : s) value *= 20;
      const std::vector<float> before = s, given = random(std::size_t(rows) * lds, 11);
      std::vector<float> d = given;
      k().causal_softmax(rows, n, lds, first, window, scale, s.data());
      k().softmax_back(rows, n, lds, scale, s.data(), d.data());
      for (std::size_t i = 0; i < std::size_t(rows); ++i) {
        const std::size_t seen = std::size_t(first) + i + 1;
        const std::size_t from = window > 0 && seen > std::size_t(window) ? seen - std::size_t(window) : 0;
        const float* row = before.data() + i * lds;
        const double top = *std::max_element(row + from, row + seen);
        double sum = 0, dot = 0;
        for (std::size_t j = from; j < seen; ++j) sum += std::exp((row[j] - top) * double(scale));
        std::vector<double> p(std::size_t(n), 0.0);
        for (std::size_t j = from; j < seen; ++j) p[j] = std::exp((row[j] - top) * double(scale)) / sum;
        for (std::size_t j = 0; j < p.size(); ++j) dot += p[j] * given[i * lds + j];
        for (std::size_t j = 0; j < lds; ++j) {
          if (j >= p.size()) {
            ASSERT_EQ(s[i * lds + j], row[j]) << "written beyond the row";
            ASSERT_EQ(d[i * lds + j], given[i * lds + j]) << "written beyond the row";
            continue;
          }
          ASSERT_NEAR(s[i * lds + j], p[j], 4e-6);
          if (j >= seen || j < from) {
            ASSERT_EQ(s[i * lds + j], 0.0F) << "a token outside of the window is seen";
          }
          ASSERT_NEAR(d[i * lds + j], p[j] * (given[i * lds + j] - dot) * double(scale), 1e-5);
        }
      }
    }
  }
}

TEST_P(KernelTable, RotatesAndTurnsBack) {
  for (const int half : kSizes) {
    const int heads = 3;
    const auto H = std::size_t(half);
    std::vector<float> cosine(H), sine(H), row = random(std::size_t(heads) * 2 * H, 13);
    for (std::size_t d = 0; d < H; ++d) {
      cosine[d] = float(std::cos(0.1 + double(d)));
      sine[d] = float(std::sin(0.1 + double(d)));
    }
    const std::vector<float> before = row;
    k().rotate(heads, 2 * half, cosine.data(), sine.data(), 1.0F, row.data());
    for (std::size_t h = 0; h < std::size_t(heads); ++h) {
      for (std::size_t d = 0; d < H; ++d) {
        const double a = before[h * 2 * H + d], b = before[h * 2 * H + H + d];
        ASSERT_NEAR(row[h * 2 * H + d], a * cosine[d] - b * sine[d], 1e-6);
        ASSERT_NEAR(row[h * 2 * H + H + d], b * cosine[d] + a * sine[d], 1e-6);
      }
    }
    k().rotate(heads, 2 * half, cosine.data(), sine.data(), -1.0F, row.data());
    for (std::size_t i = 0; i < row.size(); ++i) ASSERT_NEAR(row[i], before[i], 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, KernelTable, testing::ValuesIn(tables()), [](const auto& made) {
  std::string name = made.param.kernels->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace precept::nn
