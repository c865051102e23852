// Numbers of tensors: bf16 and f16 to and from float.

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
  for (std::size_t i = 0; i < values.size(); ++i) store_u16(float_to_bf16(values[i]), &bytes[2 * i]);
  return bytes;
}

}  // namespace precept
