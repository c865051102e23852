// A checkpoint's matrix as the engine packs it: what lies there as bf16 is taken as it is, and must be what rounding makes of it.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "precept/core/rng.h"
#include "precept/lm/infer/matrix.h"
#include "precept/lm/nn/kernels.h"

namespace precept {
namespace {

constexpr int kRows = 40, kCols = 70;  // two panels, the last one not full

std::vector<std::uint16_t> numbers() {
  Rng rng({5, 0, 0, 0});
  std::vector<std::uint16_t> bf16(std::size_t{kRows} * kCols);
  for (auto& v : bf16) v = static_cast<std::uint16_t>((rng.below(2) << 15) | ((100 + rng.below(28)) << 7) | rng.below(128));
  return bf16;
}

infer::Matrix matrix_of(const std::vector<std::uint16_t>& bf16) {
  TensorView view{"w", Dtype::kBF16, {kRows, kCols}, {reinterpret_cast<const char*>(bf16.data()), bf16.size() * 2}};
  return {kRows, kCols, {}, {{kRows, view}}, {}, {}};
}

std::vector<float> widened(const std::vector<std::uint16_t>& bf16) {
  std::vector<float> wide;
  for (const std::uint16_t v : bf16) {
    const std::uint32_t bits = std::uint32_t{v} << 16;
    wide.push_back(0);
    std::memcpy(&wide.back(), &bits, 4);
  }
  return wide;
}

// Panels of both are read by the same products in reinforcement learning, so all of their bits are compared.
TEST(Matrix, IsPackedAsTheTrainerPacksIt) {
  const nn::Kernels* trainer = nn::bf16_kernels();
  if (trainer == nullptr) GTEST_SKIP() << "this processor has no bf16 products, and the trainer takes fp32";
  std::vector<std::uint16_t> bf16 = numbers();
  // One row each with 0, -0, the smallest number that is not subnormal, and subnormal ones, which the instructions take for 0.
  const std::uint16_t special[] = {0x0000, 0x8000, 0x0080, 0x0001, 0x8001, 0x007F, 0x807F, 0x0040};
  for (std::size_t i = 0; i < std::size(special); ++i) bf16[(3 + 4 * i) * kCols + 7 * i] = special[i];

  const nn::RowKernels& engine = nn::row_kernels(nn::Precision::kBf16);
  const infer::Matrix matrix = matrix_of(bf16);
  infer::Lanes packed(nn::packed_size(*trainer, kCols, kRows)), scratch;
  matrix.pack(engine, 0, matrix.panels(), packed.data(), scratch);
  const std::vector<float> wide = widened(bf16);
  std::vector<float> expected(packed.size());
  trainer->pack_cols(kCols, kRows, wide.data(), kCols, expected.data());
  EXPECT_EQ(std::memcmp(packed.data(), expected.data(), packed.size() * sizeof(float)), 0);
}

}  // namespace
}  // namespace precept
