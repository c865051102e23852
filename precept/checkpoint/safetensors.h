#pragma once
// The safetensors format: 8 bytes little-endian header length, a JSON header {"name": {"dtype",
// "shape", "data_offsets": [begin, end]}, "__metadata__": {...}}, then the tensors' bytes.
// Reading maps the file; nothing is copied. Source: the format section of safetensors' README.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"

namespace precept {

enum class Dtype { kBool, kU8, kI8, kU16, kI16, kF16, kBF16, kU32, kI32, kF32, kU64, kI64, kF64 };

std::size_t dtype_size(Dtype dtype);          // bytes of one element
std::string_view dtype_name(Dtype dtype);     // as the format spells it: "F32", "BF16"...
std::optional<Dtype> dtype_from_name(std::string_view name);

// Row-major, little-endian. Does not own its bytes, which need not be aligned to the element size.
struct TensorView {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::string_view bytes;
};

// One mapped file. Cheap to copy; views live as long as a copy does. Everything in the header was
// checked: sizes match shapes, spans lie in the file, neither overlap nor leave gaps.
class Safetensors {
 public:
  static Result<Safetensors> open(const std::string& path);
  // The same checks on bytes in memory, which must outlive the result.
  static Result<Safetensors> parse(std::string_view bytes, const std::string& file_for_errors);

  const std::vector<TensorView>& tensors() const;  // sorted by name
  const TensorView* find(std::string_view name) const;  // nullptr: absent
  const std::map<std::string, std::string>& metadata() const;

  struct File;
  explicit Safetensors(std::shared_ptr<const File> file) : file_(std::move(file)) {}

 private:
  std::shared_ptr<const File> file_;
};

// All tensors of a checkpoint folder: model.safetensors, or the shards that
// model.safetensors.index.json lists. Cheap to copy; views live as long as a copy does.
struct CheckpointTensors {
  std::vector<Safetensors> shards;
  std::vector<TensorView> tensors;  // sorted by name, each name once

  const TensorView* find(std::string_view name) const;
};
Result<CheckpointTensors> open_checkpoint_tensors(const std::string& folder);

// The parts of the above. A shard's name -> the tensors it should hold, sorted; shards lie beside the index.
using ShardIndex = std::map<std::string, std::vector<std::string>>;
Result<ShardIndex> parse_shard_index(std::string_view text, const std::string& file_for_errors);
// Refuses a tensor that is not in its shard, and one that the index does not list, by name.
using OpenShard = std::function<Result<Safetensors>(const std::string& shard)>;
Result<CheckpointTensors> join_shards(const ShardIndex& index, const OpenShard& open, const std::string& file_for_errors);

// Writes tensors sorted by name with data aligned to 8 bytes; the same input gives the same bytes.
// The file appears whole or not at all.
Status write_safetensors(const std::string& path, std::vector<TensorView> tensors,
                         const std::map<std::string, std::string>& metadata = {});

// A tensor to be written: F32, F16 or BF16.
struct TensorPlan {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;  // none is 0
};
// Puts rows `first` to first + out.size() / shape.back() of plans[index] into `out`. Asked tensor by tensor in the order of their
// names, and for each row once; about 4 MB at a time (at least one row).
using TensorRows = std::function<Status(std::size_t index, std::int64_t first, std::span<float> out)>;
// The same file from tensors that are made row by row, rounded to their type (nearest even).
Status write_safetensors(const std::string& path, const std::vector<TensorPlan>& plans, const TensorRows& rows,
                         const std::map<std::string, std::string>& metadata = {});

// SHA-256 over config.json and the names, types, shapes and bytes (as digests of parts of 16 MiB) of all tensors:
// the same for one file and for shards. The model's cache key.
Result<std::string> checkpoint_digest(const std::string& folder);
// The same of a folder whose tensors are open: nothing is mapped twice.
Result<std::string> checkpoint_digest(const std::string& folder, const CheckpointTensors& tensors);
// SHA-256 over the parts of a file, likewise: of one that holds everything (GGUF).
Result<std::string> file_digest(const std::string& path);
// Likewise of tensors of mapped files, whose pages are given back.
std::string tensors_digest(std::string_view config, const std::vector<TensorView>& sorted_by_name);

bool is_float(Dtype dtype);  // F32, F16 or BF16: what the functions below take
// `count` numbers at `bytes`, which need not be aligned, as float. Exact.
void widen(Dtype dtype, const char* bytes, std::size_t count, float* out);
// Neither infinity nor NaN among them.
bool all_finite(Dtype dtype, std::string_view bytes);

// Elements of a F32, F16 or BF16 tensor as float; an Error names any other type.
Result<std::vector<float>> to_floats(const TensorView& tensor);
// Round to nearest even, as bytes of a BF16 tensor. NaN stays NaN.
std::string to_bf16_bytes(const std::vector<float>& values);

}  // namespace precept
