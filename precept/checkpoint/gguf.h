#pragma once
// The GGUF format, versions 2 and 3, little-endian:
//
//   "GGUF", u32 version, u64 tensors, u64 metadata entries,
//   each entry: string key, u32 type, value,
//   each tensor: string name, u32 dimensions, u64 sizes (innermost first), u32 type, u64 offset,
//   zeros up to a multiple of general.alignment (32 if absent), then the tensors' bytes.
//
// A string is u64 length and bytes. Offsets count from where the tensors' bytes begin. Reading maps the file; tensors are
// not copied, metadata is. Source: docs/gguf.md of ggml.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "precept/checkpoint/ggml_type.h"
#include "precept/checkpoint/gguf_metadata.h"
#include "precept/core/result.h"

namespace precept {

// Does not own its bytes, which are whole blocks of its type, row after row, and need not be aligned.
struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<std::int64_t> shape;  // 1 to 4 sizes, outermost first as Hugging Face has them; none is 0
  std::string_view bytes;

  std::int64_t row() const { return shape.back(); }  // elements of a row; whole blocks
  std::int64_t rows() const;
  // Rows first to first + out.size() / row(), which must lie in the tensor.
  void read(std::int64_t first, std::span<float> out) const;
  void read_bf16(std::int64_t first, std::span<std::uint16_t> out) const;
};

// One mapped file. Cheap to copy; views live as long as a copy does. Everything was checked: texts are UTF-8, keys and
// names stand once, types are known, sizes match shapes, and tensors lie in the file at multiples of the alignment,
// neither overlapping nor leaving more between or behind them than padding (which may be missing at the end).
class Gguf {
 public:
  static Result<Gguf> open(const std::string& path);
  // The same checks on bytes in memory, which must outlive the result.
  static Result<Gguf> parse(std::string_view bytes, const std::string& file_for_errors);

  std::uint32_t version() const;
  const GgufMetadata& metadata() const;
  const std::vector<GgufTensor>& tensors() const;       // sorted by name
  const GgufTensor* find(std::string_view name) const;  // nullptr: absent

  struct File;
  explicit Gguf(std::shared_ptr<const File> file) : file_(std::move(file)) {}

 private:
  std::shared_ptr<const File> file_;
};

}  // namespace precept
