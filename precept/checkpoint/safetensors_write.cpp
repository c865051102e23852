#include <algorithm>
#include <numeric>

#include "precept/checkpoint/gguf_write.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/whole_file.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;  // floats that are asked for at once

bool fits(const TensorView& tensor) {
  // Divides instead of multiplying, so that no product can overflow.
  std::size_t left = tensor.bytes.size();
  if (std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end()) return left == 0;
  if (left == 0) return false;
  if (left % dtype_size(tensor.dtype) != 0) return false;
  left /= dtype_size(tensor.dtype);
  for (const std::int64_t n : tensor.shape) {
    if (n < 0 || left % static_cast<std::size_t>(n) != 0) return false;
    left /= static_cast<std::size_t>(n);
  }
  return left == 1;
}

// What the header says of a tensor.
struct Entry {
  const std::string& name;
  Dtype dtype;
  const std::vector<std::int64_t>& shape;
  std::size_t bytes;
};

// Length and header, before the tensors' bytes. Entries are sorted by name.
Result<std::string> make_header(const std::vector<Entry>& entries, const std::map<std::string, std::string>& metadata, const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  auto& list = header.get_ref<nlohmann::ordered_json::object_t&>();  // appends without looking for the key first
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t at = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    const std::string shown = in_quotes(entry.name);
    if (entry.name == "__metadata__" || find_invalid_utf8(entry.name)) {
      return bad_input("tensor " + shown + " cannot have this name", "choose another", path);
    }
    if (i > 0 && entries[i - 1].name == entry.name) return bad_input("two tensors have the name " + shown, "", path);
    list.push_back({entry.name, {{"dtype", dtype_name(entry.dtype)}, {"shape", entry.shape}, {"data_offsets", {at, at + entry.bytes}}}});
    at += entry.bytes;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins at a multiple of 8
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>((text.size() >> (8 * i)) & 0xFF);
  return length + text;
}

GgmlType encoded(Dtype dtype) {
  return dtype == Dtype::kF32 ? GgmlType::kF32 : dtype == Dtype::kF16 ? GgmlType::kF16 : GgmlType::kBF16;
}

Status write_rows(WholeFile& out, const TensorPlan& plan, std::size_t index, const TensorRows& rows, std::vector<float>& chunk, const std::string& path) {
  const auto row = static_cast<std::size_t>(plan.shape.back());
  const auto count = std::accumulate(plan.shape.begin(), plan.shape.end() - 1, std::int64_t{1}, std::multiplies<>());
  const auto step = static_cast<std::int64_t>(std::max<std::size_t>(1, kChunk / row));
  for (std::int64_t first = 0; first < count && out.fine(); first += step) {
    chunk.resize(static_cast<std::size_t>(std::min(step, count - first)) * row);
    if (Status fine = rows(index, first, chunk); !fine) return fine;
    const auto bytes = ggml_from_floats(encoded(plan.dtype), chunk);
    if (!bytes) return bad_input("tensor " + in_quotes(plan.name) + ": " + bytes.error().what, bytes.error().hint, path);
    out.write(*bytes);
  }
  return {};
}

}  // namespace

Status write_safetensors(const std::string& path, std::vector<TensorView> tensors, const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  std::vector<Entry> entries;
  for (const TensorView& tensor : tensors) {
    if (!fits(tensor)) return bad_input("tensor " + in_quotes(tensor.name) + ": its bytes do not fit its shape and dtype", "", path);
    entries.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes.size()});
  }
  const auto header = make_header(entries, metadata, path);
  if (!header) return tl::unexpected<Error>(header.error());
  WholeFile out(path);
  out.write(*header);
  for (const TensorView& tensor : tensors) out.write(tensor.bytes);
  return out.finish();
}

Status write_safetensors(const std::string& path, const std::vector<TensorPlan>& plans, const TensorRows& rows,
                         const std::map<std::string, std::string>& metadata) {
  std::vector<std::size_t> order(plans.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return plans[a].name < plans[b].name; });
  std::vector<Entry> entries;
  for (const std::size_t i : order) {
    const TensorPlan& plan = plans[i];
    PRECEPT_CHECK(is_float(plan.dtype) && !plan.shape.empty());
    std::size_t bytes = dtype_size(plan.dtype);
    for (const std::int64_t n : plan.shape) {
      PRECEPT_CHECK(n > 0);
      bytes *= static_cast<std::size_t>(n);
    }
    entries.push_back({plan.name, plan.dtype, plan.shape, bytes});
  }
  const auto header = make_header(entries, metadata, path);
  if (!header) return tl::unexpected<Error>(header.error());
  WholeFile out(path);
  out.write(*header);
  std::vector<float> chunk;
  for (const std::size_t i : order) {
    if (!out.fine()) break;
    if (Status fine = write_rows(out, plans[i], i, rows, chunk, path); !fine) return fine;
  }
  return out.finish();
}

}  // namespace precept
