// Any bytes as a GGUF file: every view lies inside and can be read; what its metadata says of shape and vocabulary, and the
// tensors under Hugging Face's names, are read or refused.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/gguf_vocabulary.h"

using namespace precept;

namespace {

void read_rows(const GgufTensor& tensor) {
  const std::int64_t last = tensor.rows() - 1;
  std::vector<float> row(static_cast<std::size_t>(tensor.row()));
  std::vector<std::uint16_t> halves(row.size());
  tensor.read(0, row);
  tensor.read(last, row);
  tensor.read_bf16(last, halves);
}

void read_model(const Gguf& file) {
  if (const auto vocabulary = read_gguf_vocabulary(file.metadata())) {
    GgufMetadata again;
    write_gguf_vocabulary(*vocabulary, again);
    PRECEPT_CHECK(read_gguf_vocabulary(again).has_value());
  }
  const auto shape = read_gguf_shape(file.metadata());
  if (!shape) return;
  GgufMetadata again;
  write_gguf_shape(*shape, again);
  PRECEPT_CHECK(read_gguf_shape(again) == *shape);
  read_rope_factors(file, *shape).has_value();
  const auto tensors = hf_tensors(file, *shape);
  if (!tensors) return;
  for (const HfTensor& tensor : *tensors) {
    PRECEPT_CHECK(gguf_name_of_hf(tensor.name) == tensor.tensor->name);
    std::vector<float> row(static_cast<std::size_t>(tensor.tensor->row()));
    tensor.read(tensor.tensor->rows() - 1, row);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto parsed = Gguf::parse(bytes, "fuzz");
  if (!parsed) {
    PRECEPT_CHECK(!parsed.error().what.empty() && parsed.error().what.find('\n') == std::string::npos);
    return 0;
  }
  for (const GgufTensor& tensor : parsed->tensors()) {
    PRECEPT_CHECK(tensor.bytes.data() >= bytes.data());
    PRECEPT_CHECK(tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + bytes.size());
    PRECEPT_CHECK(parsed->find(tensor.name) == &tensor);
    read_rows(tensor);
  }
  read_model(*parsed);
  return 0;
}
