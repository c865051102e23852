// The digest of a checkpoint: of its parts first, so that they are read by all processors at once.

#include <algorithm>

#include "precept/checkpoint/mapped_file.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/parallel.h"

namespace precept {
namespace {

constexpr std::size_t kPartBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxConfigBytes = std::size_t{64} << 20;

// Digests of the parts of a mapped file, one after the other.
std::vector<std::string> digests_of(const std::vector<std::string_view>& parts) {
  std::vector<std::string> digests(parts.size());
  in_parallel(parts.size(), [&](std::size_t i) {
    digests[i] = sha256(parts[i]);
    give_back(parts[i]);
  });
  return digests;
}

void cut(std::string_view bytes, std::vector<std::string_view>& parts) {
  for (std::size_t at = 0; at < bytes.size(); at += kPartBytes) parts.push_back(bytes.substr(at, kPartBytes));
}

}  // namespace

Result<std::string> file_digest(const std::string& path) {
  const auto file = MappedFile::open(path, 1, "checkpoint");
  if (!file) return tl::unexpected<Error>(file.error());
  std::vector<std::string_view> parts;
  cut((*file)->bytes(), parts);
  Sha256 digest;
  for (const std::string& part : digests_of(parts)) digest.update(part);
  return digest.finish();
}

std::string tensors_digest(std::string_view config, const std::vector<TensorView>& tensors) {
  std::vector<std::string_view> parts;
  for (const TensorView& tensor : tensors) cut(tensor.bytes, parts);
  const std::vector<std::string> digests = digests_of(parts);

  Sha256 digest;
  // Lengths come before contents, so that no two checkpoints are spelled alike.
  const auto add = [&](std::string_view bytes) {
    digest.update(std::to_string(bytes.size()) + ":");
    digest.update(bytes);
  };
  add(config);
  auto part = digests.begin();
  for (const TensorView& tensor : tensors) {
    add(tensor.name);
    add(dtype_name(tensor.dtype));
    std::string shape;
    for (const std::int64_t n : tensor.shape) shape += std::to_string(n) + ",";
    add(shape);
    for (std::size_t at = 0; at < tensor.bytes.size(); at += kPartBytes) add(*part++);
  }
  return digest.finish();
}

Result<std::string> checkpoint_digest(const std::string& folder) {
  const auto tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  return checkpoint_digest(folder, *tensors);
}

Result<std::string> checkpoint_digest(const std::string& folder, const CheckpointTensors& tensors) {
  const auto config = read_file(folder + "/config.json", kMaxConfigBytes);
  if (!config) return tl::unexpected<Error>(config.error());
  return tensors_digest(*config, tensors.tensors);
}

}  // namespace precept
