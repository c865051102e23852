// Numbers of tensors: bf16 and f16 to and from float.

#include <cstdint>
#include <cstring>

#include "precept/checkpoint/half.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/strict_json.h"

namespace precept {

bool is_float(Dtype dtype) { return dtype == Dtype::kF32 || dtype == Dtype::kBF16 || dtype == Dtype::kF16; }

void widen(Dtype dtype, const char* bytes, std::size_t count, float* out) {
  switch (dtype) {
    case Dtype::kBF16:
      for (std::size_t i = 0; i < count; ++i) out[i] = bf16_to_float(load_u16(bytes + 2 * i));
      return;
    case Dtype::kF16:
      for (std::size_t i = 0; i < count; ++i) out[i] = half_to_float(load_u16(bytes + 2 * i));
      return;
    default:
      PRECEPT_CHECK(dtype == Dtype::kF32);
      if (count > 0) std::memcpy(out, bytes, count * sizeof(float));
  }
}

namespace {

// Whether no number of this many bits has all bits of its exponent set. Gathered without branches, in lanes of the numbers'
// own width, so that the loop runs in whole vectors.
template <class Bits>
bool exponents_fine(std::string_view bytes, Bits exponent) {
  Bits broken = 0;
  for (std::size_t i = 0; i + sizeof(Bits) <= bytes.size(); i += sizeof(Bits)) {
    Bits bits = 0;
    std::memcpy(&bits, bytes.data() + i, sizeof bits);
    broken = static_cast<Bits>(broken | ((bits & exponent) == exponent ? 1 : 0));
  }
  return broken == 0;
}

}  // namespace

bool all_finite(Dtype dtype, std::string_view bytes) {
  switch (dtype) {
    case Dtype::kBF16:
      return exponents_fine<std::uint16_t>(bytes, 0x7F80U);
    case Dtype::kF16:
      return exponents_fine<std::uint16_t>(bytes, 0x7C00U);
    default:
      PRECEPT_CHECK(dtype == Dtype::kF32);
      return exponents_fine<std::uint32_t>(bytes, 0x7F800000U);
  }
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
  for (std::size_t i = 0; i < values.size(); ++i) store_u16(float_to_bf16(values[i]), &bytes[2 * i]);
  return bytes;
}

}  // namespace precept
