// A Hugging Face checkpoint as GGUF.

#include <algorithm>
#include <optional>

#include "precept/checkpoint/gguf_llama.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

std::uint32_t file_type(GgmlType type) {  // llama.cpp's numbers of general.file_type
  switch (type) {
    case GgmlType::kF16: return 1;
    case GgmlType::kQ8_0: return 7;
    case GgmlType::kBF16: return 32;
    default: return 0;
  }
}

std::optional<GgmlType> ggml_type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32: return GgmlType::kF32;
    case Dtype::kF16: return GgmlType::kF16;
    case Dtype::kBF16: return GgmlType::kBF16;
    default: return std::nullopt;
  }
}

GgmlType type_for(const std::vector<std::int64_t>& shape, GgmlType wanted) {
  if (shape.size() < 2) return GgmlType::kF32;
  if (static_cast<std::size_t>(shape.back()) % ggml_block_elements(wanted) != 0) return GgmlType::kF16;
  return wanted;
}

// The checkpoint's tensors as GGUF's, unwritten; each keeps its numbers' type.
Result<std::vector<GgufTensor>> sources_of(const std::vector<TensorView>& tensors, const GgufShape& shape, const std::string& path) {
  std::vector<GgufTensor> out;
  for (const TensorView& tensor : tensors) {
    const auto refuse = [&](const std::string& what, const char* hint) {
      return bad_input("tensor " + in_quotes(tensor.name) + " " + what, hint, path);
    };
    auto name = gguf_name_of_hf(tensor.name);
    if (!name) return refuse("has no name in GGUF", "supported: the tensors of llama, qwen2 and qwen3");
    const auto type = ggml_type_of(tensor.dtype);
    if (!type) return refuse("is " + std::string(dtype_name(tensor.dtype)), "supported: F32, F16, BF16");
    GgufTensor made{std::move(*name), *type, tensor.shape, tensor.bytes};
    const auto positive = [](std::int64_t n) { return n > 0; };
    if (made.shape.empty() || made.shape.size() > 4 || !std::all_of(made.shape.begin(), made.shape.end(), positive)) {
      return refuse("does not have 1 to 4 positive sizes", "check the checkpoint");
    }
    if (gguf_permuted(shape.architecture, made.name) &&
        (made.shape.size() > 2 || shape.key_length < 2 || made.shape.front() % shape.key_length != 0)) {
      return refuse("does not hold whole heads", "do shape and checkpoint belong together?");
    }
    out.push_back(std::move(made));
  }
  return out;
}

// Rows of a source in GGUF's order.
void read_rows(const GgufTensor& source, const GgufShape& shape, std::int64_t first, std::span<float> out) {
  if (!gguf_permuted(shape.architecture, source.name)) return source.read(first, out);
  const auto row = static_cast<std::size_t>(source.row());
  if (source.shape.size() == 1) {
    std::vector<float> whole(row);
    source.read(0, whole);
    for (std::size_t i = 0; i < row; ++i) {
      out[i] = whole[static_cast<std::size_t>(hf_row_of_gguf(static_cast<std::int64_t>(i), shape.key_length))];
    }
    return;
  }
  for (std::size_t i = 0; i < out.size() / row; ++i) {
    source.read(hf_row_of_gguf(first + static_cast<std::int64_t>(i), shape.key_length), out.subspan(i * row, row));
  }
}

}  // namespace

Status write_gguf_llama(const std::string& path, GgufMetadata metadata, const GgufShape& shape,
                        const std::vector<TensorView>& tensors, GgmlType type, const std::vector<float>& rope_factors) {
  const auto sources = sources_of(tensors, shape, path);
  if (!sources) return tl::unexpected<Error>(sources.error());
  write_gguf_shape(shape, metadata);
  metadata.values.insert_or_assign("general.file_type", file_type(type));
  metadata.values.insert_or_assign("general.quantization_version", std::uint32_t{2});
  std::vector<GgufPlan> plans;
  for (const GgufTensor& source : *sources) plans.push_back({source.name, type_for(source.shape, type), source.shape});
  if (!rope_factors.empty()) {
    plans.push_back({"rope_freqs.weight", GgmlType::kF32, {static_cast<std::int64_t>(rope_factors.size())}});
  }
  return write_gguf(path, metadata, plans, [&](std::size_t index, std::int64_t first, std::span<float> out) -> Status {
    if (index == sources->size()) {
      std::copy(rope_factors.begin(), rope_factors.end(), out.begin());
    } else {
      read_rows((*sources)[index], shape, first, out);
    }
    return {};
  });
}

}  // namespace precept
