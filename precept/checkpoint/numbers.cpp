// Numbers of tensors: bf16 and f16 to and from float.

#include <bit>
#include <cstring>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

std::uint16_t load_u16(const char* at) {
  std::uint16_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// By shifts and one product, without branches, so that a loop over it runs in vectors. A subnormal half is a normal
// float: 2^112 times what its shifted bits mean.
float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(half & 0x7FFFU) << 13;
  const float value = std::bit_cast<float>(rest) * std::bit_cast<float>(0x77800000U);  // 2^112
  const bool special = rest >= 0x0F800000U;                                            // infinity or NaN
  const std::uint32_t bits = special ? rest | 0x7F800000U : std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>(bits | sign);
}

}  // namespace

bool is_float(Dtype dtype) { return dtype == Dtype::kF32 || dtype == Dtype::kBF16 || dtype == Dtype::kF16; }

void widen(Dtype dtype, const char* bytes, std::size_t count, float* out) {
  switch (dtype) {
    case Dtype::kBF16:
      for (std::size_t i = 0; i < count; ++i) out[i] = std::bit_cast<float>(static_cast<std::uint32_t>(load_u16(bytes + 2 * i)) << 16);
      return;
    case Dtype::kF16:
      for (std::size_t i = 0; i < count; ++i) out[i] = half_to_float(load_u16(bytes + 2 * i));
      return;
    default:
      PRECEPT_CHECK(dtype == Dtype::kF32);
      if (count > 0) std::memcpy(out, bytes, count * sizeof(float));
  }
}

bool all_finite(Dtype dtype, std::string_view bytes) {
  std::uint32_t broken = 0;  // gathered without branches, so that the loops run in vectors
  switch (dtype) {
    case Dtype::kBF16:
      for (std::size_t i = 0; i + 2 <= bytes.size(); i += 2) broken |= (load_u16(bytes.data() + i) & 0x7F80U) == 0x7F80U;
      break;
    case Dtype::kF16:
      for (std::size_t i = 0; i + 2 <= bytes.size(); i += 2) broken |= (load_u16(bytes.data() + i) & 0x7C00U) == 0x7C00U;
      break;
    default:
      PRECEPT_CHECK(dtype == Dtype::kF32);
      for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, bytes.data() + i, sizeof bits);
        broken |= (bits & 0x7F800000U) == 0x7F800000U;
      }
  }
  return broken == 0;
}

Result<std::vector<float>> to_floats(const TensorView& tensor) {
  if (!is_float(tensor.dtype)) {
    return bad_input("tensor " + in_quotes(tensor.name) + " is " + std::string(dtype_name(tensor.dtype)) +
                         ", not F32, F16 or BF16", "convert the checkpoint to one of these");
  }
  std::vector<float> values(tensor.bytes.size() / dtype_size(tensor.dtype));
  widen(tensor.dtype, tensor.bytes.data(), values.size(), values.data());
  return values;
}

std::string to_bf16_bytes(const std::vector<float>& values) {
  std::string bytes(values.size() * 2, '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    const bool nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
    const std::uint32_t rounded = nan ? (bits >> 16) | 0x40U : (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    bytes[2 * i] = static_cast<char>(rounded & 0xFF);
    bytes[2 * i + 1] = static_cast<char>((rounded >> 8) & 0xFF);
  }
  return bytes;
}

}  // namespace precept
