// Quantised blocks: against a plain implementation written element by element from the format's definition, and against
// blocks that ggml made.

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "gguf_blocks.h"
#include "precept/checkpoint/ggml_type.h"
#include "precept/checkpoint/gguf_write.h"
#include "precept/checkpoint/half.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

using namespace testing_gguf;

constexpr GgmlType kEvery[] = {GgmlType::kF32,  GgmlType::kF16,  GgmlType::kBF16, GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1,
                               GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ4K,  GgmlType::kQ5K,  GgmlType::kQ6K};

// A half by arithmetic instead of bits.
float plain_half(const unsigned char* at) {
  const int bits = at[0] + 256 * at[1], exponent = bits / 1024 % 32, fraction = bits % 1024;
  double size = std::ldexp(exponent == 0 ? fraction : 1024 + fraction, (exponent == 0 ? 1 : exponent) - 25);
  if (exponent == 31) size = fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  return static_cast<float>(bits >= 32768 ? -size : size);
}

int bits_at(const unsigned char* bytes, int first_bit, int count) {
  int out = 0;
  for (int i = 0; i < count; ++i) out += ((bytes[(first_bit + i) / 8] >> ((first_bit + i) % 8)) & 1) << i;
  return out;
}

// Element j of blocks of 32.
float plain32(GgmlType type, const unsigned char* b, int j) {
  const float d = plain_half(b);
  const bool minimum = type == GgmlType::kQ4_1 || type == GgmlType::kQ5_1;
  const bool five = type == GgmlType::kQ5_0 || type == GgmlType::kQ5_1;
  if (type == GgmlType::kQ8_0) return d * static_cast<float>(b[2 + j] < 128 ? b[2 + j] : b[2 + j] - 256);
  const unsigned char* high = b + (minimum ? 4 : 2);
  const unsigned char* nibbles = high + (five ? 4 : 0);
  const int q = bits_at(nibbles + j % 16, j / 16 * 4, 4) + (five ? 16 * bits_at(high, j, 1) : 0);
  if (minimum) return static_cast<float>(q) * d + plain_half(b + 2);
  return static_cast<float>(q - (five ? 16 : 8)) * d;
}

// Element j of blocks of 256.
float plain256(GgmlType type, const unsigned char* b, int j) {
  if (type == GgmlType::kQ6K) {
    const int half = j / 128, in_half = j % 128, group = in_half / 32, i = j % 32;
    const int q = bits_at(b + 64 * half + 32 * (group % 2) + i, group / 2 * 4, 4) + 16 * bits_at(b + 128 + 32 * half + i, 2 * group, 2);
    const int scale = b[192 + j / 16] < 128 ? b[192 + j / 16] : b[192 + j / 16] - 256;
    return plain_half(b + 208) * static_cast<float>(scale) * static_cast<float>(q - 32);
  }
  // The 12 bytes are 3 rows of 4: scales and minima of groups 0 to 3 in six bits each with the top two bits of groups 4
  // to 7 above them, then the low four bits of groups 4 to 7.
  const unsigned char* s = b + 4;
  const int k = j / 32, c = k % 4;
  const int scale = k < 4 ? bits_at(s + c, 0, 6) : bits_at(s + 8 + c, 0, 4) + 16 * bits_at(s + c, 6, 2);
  const int low = k < 4 ? bits_at(s + 4 + c, 0, 6) : bits_at(s + 8 + c, 4, 4) + 16 * bits_at(s + 4 + c, 6, 2);
  const bool five = type == GgmlType::kQ5K;
  const unsigned char* nibbles = b + (five ? 48 : 16);
  const int q = bits_at(nibbles + 32 * (j / 64) + j % 32, j / 32 % 2 * 4, 4) + (five ? 16 * bits_at(b + 16 + j % 32, k, 1) : 0);
  const float step = plain_half(b) * static_cast<float>(scale), offset = plain_half(b + 2) * static_cast<float>(low);
  return step * static_cast<float>(q) - offset;
}

bool same(float a, float b) { return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0; }

std::string random_bytes(std::size_t count, std::uint32_t stream) {
  Rng rng({11, stream, 0, 0});
  std::string out(count, '\0');
  for (char& c : out) c = static_cast<char>(rng.below(256));
  return out;
}

TEST(GgmlBlocks, AnyBytesReadAsTheDefinitionSays) {
  for (const GgmlType type : kEvery) {
    const std::size_t elements = ggml_block_elements(type);
    if (elements == 1) continue;
    constexpr std::size_t kBlocks = 400;
    const std::string bytes = random_bytes(kBlocks * ggml_block_bytes(type), static_cast<std::uint32_t>(type));
    std::vector<float> out(kBlocks * elements);
    ggml_to_floats(type, bytes, out);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto* block = reinterpret_cast<const unsigned char*>(bytes.data()) + i / elements * ggml_block_bytes(type);
      const float plain = elements == 32 ? plain32(type, block, static_cast<int>(i % 32)) : plain256(type, block, static_cast<int>(i % 256));
      ASSERT_TRUE(same(out[i], plain)) << ggml_type_name(type) << " " << i << ": " << out[i] << " " << plain;
    }
  }
}

TEST(GgmlBlocks, GgmlsBlocksReadAsInGgml) {
  for (const Golden& golden : kGoldens) {
    std::string bytes;
    for (const char* at = golden.blocks; *at != '\0'; at += 2) bytes += static_cast<char>(std::stoi(std::string(at, 2), nullptr, 16));
    std::vector<float> out(256);
    ggml_to_floats(golden.type, bytes, out);
    double sum = 0, weighted = 0, worst = 0;
    for (std::size_t i = 0; i < 256; ++i) {
      sum += out[i];
      weighted += static_cast<double>(i) * out[i];
      worst = std::max(worst, std::fabs(static_cast<double>(out[i]) - kWave[i]));
    }
    EXPECT_EQ(out[0], golden.first) << ggml_type_name(golden.type);
    EXPECT_EQ(out[255], golden.last) << ggml_type_name(golden.type);
    EXPECT_EQ(sum, golden.sum) << ggml_type_name(golden.type);
    EXPECT_EQ(weighted, golden.weighted) << ggml_type_name(golden.type);
    // Magnitudes up to 7: 15 steps lie one apart at worst.
    EXPECT_LT(worst, golden.type == GgmlType::kQ8_0 ? 0.03 : 0.6) << ggml_type_name(golden.type);
    EXPECT_GT(worst, 0) << "the wave does not fit the blocks exactly";
    if (golden.type == GgmlType::kQ8_0) {
      EXPECT_EQ(ggml_from_floats(GgmlType::kQ8_0, kWave).value(), bytes);
    }
  }
}

TEST(GgmlBlocks, RowsAreReadWithoutTheRest) {
  for (const GgmlType type : kEvery) {
    const std::size_t row = 2 * ggml_block_elements(type), rows = 5;
    const std::string bytes = random_bytes(rows * 2 * ggml_block_bytes(type), 90);
    std::vector<float> all(rows * row), some(2 * row);
    ggml_to_floats(type, bytes, all);
    std::vector<std::uint16_t> some16(2 * row);
    for (std::size_t first = 0; first + 2 <= rows; ++first) {
      ggml_rows_to_floats(type, bytes, static_cast<std::int64_t>(row), static_cast<std::int64_t>(first), some);
      ggml_rows_to_bf16(type, bytes, static_cast<std::int64_t>(row), static_cast<std::int64_t>(first), some16);
      for (std::size_t i = 0; i < some.size(); ++i) {
        ASSERT_TRUE(same(some[i], all[first * row + i])) << ggml_type_name(type);
        ASSERT_TRUE(same(bf16_to_float(some16[i]), bf16_to_float(float_to_bf16(some[i])))) << ggml_type_name(type);
      }
    }
    ggml_rows_to_floats(type, bytes, static_cast<std::int64_t>(row), 5, {});  // no rows at the end
    EXPECT_DEATH(ggml_rows_to_floats(type, bytes, static_cast<std::int64_t>(row), 4, some), "bug");
  }
}

// ggml's reference, written from its definition: d = amax / 127 as F16, q = round(x / d) by the inverse.
TEST(GgmlBlocks, Q8_0RoundsAsGgml) {
  Rng rng({12, 0, 0, 0});
  for (int round = 0; round < 3000; ++round) {
    std::vector<float> x(32);
    const float size = std::ldexp(1.0F, static_cast<int>(rng.below(40)) - 25);
    for (float& v : x) v = size * (static_cast<float>(rng.below(2001)) / 1000.0F - 1);
    if (round % 3 == 0) x[5] = 0;
    const auto bytes = ggml_from_floats(GgmlType::kQ8_0, x);
    ASSERT_TRUE(bytes.has_value());
    float amax = 0;
    for (const float v : x) amax = std::max(amax, std::abs(v));
    const float d = amax / 127;
    ASSERT_EQ(load_u16(bytes->data()), float_to_half(d));
    for (std::size_t i = 0; i < 32; ++i) ASSERT_EQ(static_cast<signed char>((*bytes)[2 + i]), std::lround(x[i] * (1.0F / d)));
  }
  std::vector<float> ties(32, 0.0F);
  ties[0] = 127;
  ties[1] = 0.5F;  // half away from zero
  ties[2] = -0.5F;
  ties[3] = 2.5F;
  const std::string bytes = ggml_from_floats(GgmlType::kQ8_0, ties).value();
  EXPECT_EQ(bytes.substr(0, 6), std::string("\x00\x3c\x7f\x01\xff\x03", 6));
  const std::vector<float> zero(32, 0.0F), tiny(32, std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(ggml_from_floats(GgmlType::kQ8_0, zero).value(), std::string(34, '\0'));
  EXPECT_EQ(ggml_from_floats(GgmlType::kQ8_0, tiny).value(), std::string(34, '\0'));
}

TEST(GgmlBlocks, WhatATypeDoesNotHoldIsAnError) {
  std::vector<float> x(32, 1.0F);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e38F}) {
    x[7] = bad;
    EXPECT_FALSE(ggml_from_floats(GgmlType::kQ8_0, x).has_value()) << bad;
    EXPECT_TRUE(ggml_from_floats(GgmlType::kF32, x).has_value());
    EXPECT_TRUE(ggml_from_floats(GgmlType::kBF16, x).has_value());
  }
  EXPECT_FALSE(ggml_from_floats(GgmlType::kF16, x).has_value());
  x[7] = 65504;
  EXPECT_TRUE(ggml_from_floats(GgmlType::kF16, x).has_value());
}

TEST(Half, EveryHalfComesBackAndFloatsRoundToTheNearest) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    const unsigned char bytes[2] = {static_cast<unsigned char>(i & 0xFF), static_cast<unsigned char>(i >> 8)};
    const float value = half_to_float(half);
    ASSERT_TRUE(same(value, plain_half(bytes))) << i;
    if (std::isnan(value)) continue;
    ASSERT_EQ(float_to_half(value), half);
    // Between this and the next: below the middle down, above it up, at it to the even one.
    if ((half & 0x7FFF) >= 0x7BFF) continue;
    const double next = half_to_float(static_cast<std::uint16_t>(half + 1)), middle = (static_cast<double>(value) + next) / 2;
    const auto at = static_cast<float>(middle);
    ASSERT_EQ(float_to_half(at), half % 2 == 0 ? half : half + 1);
    ASSERT_EQ(float_to_half(std::nextafter(at, value)), half);
    ASSERT_EQ(float_to_half(std::nextafter(at, static_cast<float>(next))), half + 1);
  }
  EXPECT_EQ(float_to_half(65519.0F), 0x7BFF);
  EXPECT_EQ(float_to_half(65520.0F), 0x7C00);
  EXPECT_EQ(float_to_half(-1e38F), 0xFC00);
  EXPECT_EQ(float_to_half(1e-10F), 0);
}

}  // namespace
}  // namespace precept
