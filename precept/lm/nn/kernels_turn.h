// Vectors and transposition of the instruction set that the including file is compiled for. Like
// kernels_body.h without include guard and without external linkage: each set must keep its own code.

#include <cstddef>
#include <cstdint>

namespace precept::nn {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif
using Vec [[gnu::vector_size(kWidth * sizeof(float)), gnu::may_alias, gnu::aligned(4)]] = float;

// v[i][j] and v[j][i] change places.
[[gnu::always_inline]] inline void transpose(Vec (&v)[kWidth]) {
  using Lanes [[gnu::vector_size(kWidth * sizeof(float))]] = std::int32_t;
#pragma GCC unroll 4
  for (int step = 1; step < kWidth; step *= 2) {
    Lanes low{};
    Lanes high{};
#pragma GCC unroll 16
    for (int j = 0; j < kWidth; ++j) {
      low[j] = (j & step) ? kWidth + (j ^ step) : j;
      high[j] = (j & step) ? kWidth + j : (j ^ step);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if (i & step) continue;
      const Vec a = v[i];
      const Vec b = v[i | step];
      v[i] = __builtin_shuffle(a, b, low);
      v[i | step] = __builtin_shuffle(a, b, high);
    }
  }
}

// Copies up to kTileRows rows of k floats each so that target[i * step + r] is source[r][i].
void turn(int rows, int k, const float* source, std::size_t lds, float* target, std::size_t step) {
  for (int r0 = 0; r0 < rows; r0 += kWidth) {
    const int some = rows - r0 < kWidth ? rows - r0 : kWidth;
    const float* from = source + r0 * lds;
    float* to = target + r0;
    int i = 0;
    for (; i + kWidth <= k; i += kWidth) {
      Vec v[kWidth];  // in registers: every index is a constant
#pragma GCC unroll 16
      for (int r = 0; r < kWidth; ++r) v[r] = r < some ? *reinterpret_cast<const Vec*>(from + r * lds + i) : Vec{};
      transpose(v);
#pragma GCC unroll 16
      for (int j = 0; j < kWidth; ++j) *reinterpret_cast<Vec*>(to + (i + j) * step) = v[j];
    }
    for (; i < k; ++i) {
      for (int r = 0; r < kWidth; ++r) to[i * step + r] = r < some ? from[r * lds + i] : 0.0F;
    }
  }
}

}  // namespace
}  // namespace precept::nn
