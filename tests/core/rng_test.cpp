#include "precept/core/rng.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace precept {
namespace {

using Block = std::array<std::uint32_t, 4>;

// Known answers published with the paper's reference implementation.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  // Digits of pi.
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Hash64, KnownAnswersOfFnv1a) {
  EXPECT_EQ(hash64(""), 0xcbf29ce484222325ull);
  EXPECT_EQ(hash64("a"), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(hash64("foobar"), 0x85944171f73967e8ull);
}

TEST(Rng, IsAFunctionOfItsKeyAlone) {
  Rng one({1, 2, 3, 4}), other({1, 2, 3, 4});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(one.next(), other.next());
}

TEST(Rng, EveryPartOfTheKeyNamesAnotherStream) {
  std::set<std::uint64_t> firsts;
  const std::vector<RngKey> keys = {{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0},
                                    {0, 0, 0, 1}, {1, 1, 0, 0}, {0, 0, 1, 1}, {0, 1, 0, 1}};
  for (const RngKey& key : keys) firsts.insert(Rng(key).next());
  EXPECT_EQ(firsts.size(), keys.size());
}

TEST(Rng, UniformLiesInItsRangeWithItsMoments) {
  Rng rng({7, 7, 7, 7});
  double sum = 0, squares = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(squares / kDraws, 1.0 / 3, 0.005);
}

TEST(Rng, NormalHasItsMoments) {
  Rng rng({8, 0, 0, 0});
  double sum = 0, squares = 0, fourth = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kDraws, 0, 0.02);
  EXPECT_NEAR(squares / kDraws, 1, 0.03);
  EXPECT_NEAR(fourth / kDraws, 3, 0.2);
}

TEST(Rng, BelowIsUniformAndStaysBelow) {
  Rng rng({9, 0, 0, 0});
  std::vector<int> counts(7);
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) {
    const auto x = rng.below(7);
    ASSERT_LT(x, 7u);
    ++counts[x];
  }
  double chi2 = 0;
  for (const int c : counts) chi2 += (c - 10000.0) * (c - 10000.0) / 10000.0;
  EXPECT_LT(chi2, 22.5);  // 0.999 quantile of chi-squared with 6 degrees of freedom
  EXPECT_EQ(rng.below(1), 0u);
}

}  // namespace
}  // namespace precept
