#pragma once
// IEEE half precision (F16) and bfloat16 (BF16) as bits, to float and back; little-endian loads of unaligned bytes.

#include <bit>
#include <cstdint>

namespace precept {

inline std::uint16_t load_u16(const char* at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(at[0]) | (static_cast<unsigned char>(at[1]) << 8));
}
inline void store_u16(std::uint16_t value, char* at) {
  at[0] = static_cast<char>(value & 0xFF);
  at[1] = static_cast<char>(value >> 8);
}

// Exact, subnormal numbers included; NaN stays NaN. By shifts and one product, without branches, so that a loop over it
// runs in vectors: what the shifted bits mean as a float, times 2^112.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(half & 0x7FFFU) << 13;
  const float value = std::bit_cast<float>(rest) * 0x1p112F;
  const bool special = rest >= 0x0F800000U;  // infinity or NaN
  return std::bit_cast<float>(sign | (special ? rest | 0x7F800000U : std::bit_cast<std::uint32_t>(value)));
}

// Round to nearest even; what is too large becomes infinite, NaN stays NaN.
inline std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U, size = bits & 0x7FFFFFFFU;
  if (size > 0x7F800000U) return static_cast<std::uint16_t>(sign | 0x7E00U);
  if (size >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7C00U);  // from 65536 on
  if (size < 0x38800000U) {  // below 2^-14: adding 0.5 aligns the fraction, and the addition rounds to nearest even
    const float aligned = std::bit_cast<float>(size) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3F000000U));
  }
  const std::uint32_t rounded = size + 0xFFFU + ((size >> 13) & 1U);  // may carry into the exponent, up to infinity
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

inline float bf16_to_float(std::uint16_t bits) { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

// Round to nearest even; NaN stays NaN.
inline std::uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  return static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40U : (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

}  // namespace precept
