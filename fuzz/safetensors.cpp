// Any bytes as a safetensors file: every view lies inside, and can be read.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "precept/checkpoint/safetensors.h"

using namespace precept;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto check = [&](std::string_view file) {
    const auto parsed = Safetensors::parse(file, "fuzz");
    if (!parsed) return;
    for (const TensorView& tensor : parsed->tensors()) {
      PRECEPT_CHECK(tensor.bytes.data() >= file.data());
      PRECEPT_CHECK(tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
      PRECEPT_CHECK(parsed->find(tensor.name) == &tensor);
      if (const auto values = to_floats(tensor)) PRECEPT_CHECK(values->size() * dtype_size(tensor.dtype) == tensor.bytes.size());
    }
  };
  check(bytes);
  // The same bytes as a header of the right length, with up to 64 bytes of data behind it.
  const std::size_t tail = size % 65;
  std::string framed(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) framed[i] = static_cast<char>((size >> (8 * i)) & 0xFF);
  framed += bytes;
  framed.append(tail, 'x');
  check(framed);
  return 0;
}
