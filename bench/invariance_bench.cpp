// What it costs that a row's sums have one order whatever the rows beside it: the engine's product of a step's rows with all
// matrices of shape 135m, against the best of some that are free to split the sums, by turns. Needs AVX-512 BF16.
//
//   bench_invariance [ROUNDS = 15] [THREADS = 2]
//
// Where there are few rows, the fixed order leaves few sums in flight (a panel of one row is two vectors, each waiting for the
// one before). The free ones split the dimension that is summed in 1, 2, 4 or 8 parts, as far as the registers hold the sums, and
// ask for the next panel as the engine does. Whichever has the least median for a number of rows is the rival there: chosen after the
// fact, so if anything in its favour.

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <vector>

#include "precept/lm/infer/team.h"
#include "precept/lm/infer/matrix.h"
#include "precept/lm/nn/processor.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept {
namespace {

using nn::Lane;
using Words [[gnu::vector_size(64), gnu::may_alias, gnu::aligned(4)]] = Lane;

__m512 broadcast(Lane lane) { return reinterpret_cast<__m512>(_mm512_set1_epi32(static_cast<int>(lane))); }

// R rows of a panel, its lanes in S parts; by the instructions of the engine's product, kWide where its rows are floats.
template <int R, int S, bool kWide>
void free_tile(int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, const Lane* after) {
  const bool second = nn::kPanelsIntoSecond;
  __m512 sum[R][S][2];
  for (int r = 0; r < R; ++r) {
    for (int s = 0; s < S; ++s) sum[r][s][0] = sum[r][s][1] = _mm512_setzero_ps();
  }
  for (int i = 0; i < lanes; i += S) {
#pragma GCC unroll 8
    for (int s = 0; s < S; ++s) {
      const Lane* at = panel + static_cast<std::size_t>(i + s) * nn::kPanel;
      for (int line = 0; line < 2; ++line) {
        const Lane* ahead = after + static_cast<std::size_t>(i + s) * nn::kPanel + line * 16;
        second ? __builtin_prefetch(ahead, 0, 2) : __builtin_prefetch(ahead, 0, 3);
      }
      const Words b[2] = {*reinterpret_cast<const Words*>(at), *reinterpret_cast<const Words*>(at + 16)};
      const __m512 low[2] = {reinterpret_cast<__m512>(b[0] << 16), reinterpret_cast<__m512>(b[1] << 16)};
      const __m512 high[2] = {reinterpret_cast<__m512>(b[0] & 0xFFFF0000U), reinterpret_cast<__m512>(b[1] & 0xFFFF0000U)};
#pragma GCC unroll 14
      for (int r = 0; r < R; ++r) {
        const Lane* x = a + static_cast<std::size_t>(r) * lda + static_cast<std::size_t>(i + s) * (kWide ? 2 : 1);
        for (int v = 0; v < 2; ++v) {
          __m512& to = sum[r][s][v];
          if constexpr (kWide) {
            to = _mm512_fmadd_ps(broadcast(x[1]), high[v], _mm512_fmadd_ps(broadcast(x[0]), low[v], to));
          } else {
            to = _mm512_dpbf16_ps(to, reinterpret_cast<__m512bh>(broadcast(x[0])), reinterpret_cast<__m512bh>(b[v]));
          }
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < 2; ++v) {
      __m512 all = sum[r][0][v];
      for (int s = 1; s < S; ++s) all = _mm512_add_ps(all, sum[r][s][v]);
      _mm512_storeu_ps(c + static_cast<std::size_t>(r) * ldc + v * 16, all);
    }
  }
}

// As many parts as asked for, or as sums fit into the 32 registers beside what they are made of.
constexpr int parts_of(int rows, int parts) {
  while (parts > 1 && rows * parts * 2 > 24) parts /= 2;
  return parts;
}

template <int R, int S, bool kWide>
void free_tile_of(int rows, int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, const Lane* after) {
  if constexpr (R >= 1) {
    if (rows == R) return free_tile<R, parts_of(R, S), kWide>(lanes, a, lda, panel, c, ldc, after);
    free_tile_of<R - 1, S, kWide>(rows, lanes, a, lda, panel, c, ldc, after);
  }
}

template <int S, bool kWide>
void free_product(int m, int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, const Lane* after) {
  constexpr int kRows = kWide ? 12 : 14;
  for (int i = 0; i < m; i += kRows) {
    const std::size_t row = static_cast<std::size_t>(i);
    free_tile_of<kRows, S, kWide>(std::min(kRows, m - i), lanes, a + row * lda, lda, panel, c + row * ldc, ldc, after);
  }
}

using Product = void (*)(int m, int lanes, const Lane* a, std::size_t lda, const Lane* panel, float* c, std::size_t ldc, const Lane* after);
struct Free {
  int parts;
  Product pairs, wide;
};
template <int S>
constexpr Free kFree = {S, free_product<S, false>, free_product<S, true>};
constexpr Free kRivals[] = {kFree<1>, kFree<2>, kFree<4>, kFree<8>};
constexpr int kProducts = 1 + static_cast<int>(std::size(kRivals));  // the engine's, then those

struct Shape {
  int in, out;
};
constexpr int kLayers = 30;
constexpr Shape kShapes[] = {{576, 960}, {576, 576}, {576, 1536}, {576, 1536}, {1536, 576}};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) {
  using namespace precept;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15, threads = argc > 2 ? std::atoi(argv[2]) : 2;
  const nn::RowKernels& kernels = nn::row_kernels(nn::Precision::kBf16);
  if (!nn::processor().avx512_bf16) {
    std::fprintf(stderr, "this processor has no AVX-512 BF16\n");
    return 2;
  }
  std::size_t lanes = nn::kPanel * 2048;  // asked for beyond the end
  for (const Shape& s : kShapes) {
    lanes += kLayers * nn::packed_lanes(kernels.precision, static_cast<std::size_t>(s.in), static_cast<std::size_t>(s.out));
  }
  infer::Lanes weights(lanes, 0x3C003C00U);
  infer::Team team(threads);
  std::printf("%d threads; a step's products, ms, medians of %d: in the fixed order, by the best free one (its parts); a: the cost\n", threads, rounds);
  for (const int rows : {1, 2, 4, 8, 32, 64}) {
    const std::size_t lda = nn::row_lanes(kernels, 1536) + 16;
    const infer::Lanes a(static_cast<std::size_t>(rows) * lda, 0x3C003C00U);
    std::vector<float> c(static_cast<std::size_t>(rows) * 1536 + 64);
    std::vector<double> took[kProducts];
    double check[kProducts] = {};
    for (int round = 0; round < kProducts * (rounds + 1); ++round) {
      const int which = round % kProducts;
      const Free& rival = kRivals[which == 0 ? 0 : which - 1];
      const Product product = kernels.wide_rows ? rival.wide : rival.pairs;
      const auto start = std::chrono::steady_clock::now();
      team.run([&](int thread) {
        const Lane* matrix = weights.data();
        for (int layer = 0; layer < kLayers; ++layer) {
          for (const Shape& s : kShapes) {
            const int k = s.in / 2, panels = s.out / nn::kPanel;
            const infer::Share mine(panels, thread, threads);
            for (int p = mine.begin; p < mine.end; ++p) {
              const Lane* panel = matrix + static_cast<std::size_t>(p) * static_cast<std::size_t>(k) * nn::kPanel;
              const Lane* after = panel + static_cast<std::size_t>(k) * nn::kPanel;
              float* to = c.data() + p * nn::kPanel;
              if (which > 0) product(rows, k, a.data(), lda, panel, to, 1536, after);
              else kernels.product(rows, nn::kPanel, k, a.data(), lda, panel, to, 1536, false, after);
            }
            matrix += static_cast<std::size_t>(panels) * static_cast<std::size_t>(k) * nn::kPanel;
            team.barrier();
          }
        }
      });
      const double ms = 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (round >= kProducts) took[which].push_back(ms);  // the first of each is not counted
      check[which] = static_cast<double>(c[0]);
    }
    int best = 1;
    double medians[kProducts];
    for (int which = 0; which < kProducts; ++which) {
      if (std::abs(check[0] - check[which]) > 1e-3 * std::abs(check[0])) {
        std::fprintf(stderr, "the products do not agree: %g and %g\n", check[0], check[which]);
        return 3;
      }
      medians[which] = median(took[which]);
      if (which > 0 && medians[which] < medians[best]) best = which;
    }
    std::printf("%3d rows: %7.3f %7.3f (%d)  a = %+.1f%%\n", rows, medians[0], medians[best], kRivals[best - 1].parts,
                100 * (medians[0] / medians[best] - 1));
  }
  return 0;
}
