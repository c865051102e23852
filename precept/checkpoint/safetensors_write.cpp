#include <algorithm>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/whole_file.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

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

Result<std::string> make_header(const std::vector<TensorView>& tensors,
                                const std::map<std::string, std::string>& metadata, const std::string& path) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t at = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const TensorView& tensor = tensors[i];
    const std::string shown = in_quotes(tensor.name);
    if (!fits(tensor)) return bad_input("tensor " + shown + ": its bytes do not fit its shape and dtype", "", path);
    if (tensor.name == "__metadata__" || find_invalid_utf8(tensor.name)) {
      return bad_input("tensor " + shown + " cannot have this name", "choose another", path);
    }
    if (i > 0 && tensors[i - 1].name == tensor.name) return bad_input("two tensors have the name " + shown, "", path);
    header[tensor.name] = {{"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape},
                           {"data_offsets", {at, at + tensor.bytes.size()}}};
    at += tensor.bytes.size();
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins at a multiple of 8
  return text;
}

}  // namespace

Status write_safetensors(const std::string& path, std::vector<TensorView> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  const auto header = make_header(tensors, metadata, path);
  if (!header) return tl::unexpected<Error>(header.error());
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>((header->size() >> (8 * i)) & 0xFF);
  WholeFile out(path);
  out.write(length);
  out.write(*header);
  for (const TensorView& tensor : tensors) out.write(tensor.bytes);
  return out.finish();
}

}  // namespace precept
