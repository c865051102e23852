// Checkpoint folders: one file or shards, and their digest; and numbers of tensors.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>

#include "precept/checkpoint/half.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

constexpr std::size_t kMaxIndexBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxShards = 10000;

// Shard names of the index, each with the tensors it should hold.
Result<std::map<std::string, std::vector<std::string>>> read_index(const std::string& path) {
  const auto text = read_text(path, kMaxIndexBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto json = parse_json_object(*text, path, 1);
  if (!json) return tl::unexpected<Error>(json.error());
  const auto map = json->find("weight_map");
  if (map == json->end() || !map->is_object() || map->empty()) {
    return bad_input("no \"weight_map\"", "is this a model.safetensors.index.json?", path);
  }
  std::map<std::string, std::vector<std::string>> shards;
  for (auto entry = map->begin(); entry != map->end(); ++entry) {
    const std::string shard = entry->is_string() ? entry->get<std::string>() : "";
    if (shard.empty() || shard[0] == '.' || shard.find('/') != std::string::npos ||
        shard.find('\0') != std::string::npos) {
      return bad_input("tensor " + in_quotes(entry.key()) + " is not mapped to a file of the same folder",
                       "shards are named without a path", path);
    }
    shards[shard].push_back(entry.key());
    if (shards.size() > kMaxShards) return bad_input("too many shards", "is this the right file?", path);
  }
  return shards;
}

}  // namespace

Result<CheckpointTensors> open_checkpoint_tensors(const std::string& folder) {
  const std::string single = folder + "/model.safetensors", index = single + ".index.json";
  std::error_code ec;
  CheckpointTensors all;
  if (!std::filesystem::exists(index, ec) || std::filesystem::exists(single, ec)) {
    auto file = Safetensors::open(single);
    if (!file) return tl::unexpected<Error>(file.error());
    all.tensors = file->tensors();
    all.shards.push_back(std::move(*file));
    return all;
  }
  const auto shards = read_index(index);
  if (!shards) return tl::unexpected<Error>(shards.error());
  for (const auto& entry : *shards) {
    auto file = Safetensors::open(folder + "/" + entry.first);
    if (!file) return tl::unexpected<Error>(file.error());
    for (const std::string& name : entry.second) {
      if (file->find(name) == nullptr) {
        return bad_input("tensor " + in_quotes(name) + " is not in " + in_quotes(entry.first), "index and shards belong together", index);
      }
    }
    if (file->tensors().size() != entry.second.size()) {
      return bad_input(in_quotes(entry.first) + " holds tensors that the index does not list", "index and shards belong together", index);
    }
    all.tensors.insert(all.tensors.end(), file->tensors().begin(), file->tensors().end());
    all.shards.push_back(std::move(*file));
  }
  std::sort(all.tensors.begin(), all.tensors.end(), [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  return all;
}

Result<std::string> checkpoint_digest(const std::string& folder) {
  const auto config = read_file(folder + "/config.json", kMaxIndexBytes);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  Sha256 digest;
  // Lengths come before contents, so that no two checkpoints are spelled alike.
  const auto add = [&](std::string_view bytes) {
    digest.update(std::to_string(bytes.size()) + ":");
    digest.update(bytes);
  };
  add(*config);
  for (const TensorView& tensor : tensors->tensors) {
    add(tensor.name);
    add(dtype_name(tensor.dtype));
    std::string shape;
    for (const std::int64_t n : tensor.shape) shape += std::to_string(n) + ",";
    add(shape);
    add(tensor.bytes);
  }
  return digest.finish();
}

Result<std::vector<float>> to_floats(const TensorView& tensor) {
  const std::size_t size = dtype_size(tensor.dtype);
  std::vector<float> values(tensor.bytes.size() / size);
  const char* const data = tensor.bytes.data();
  switch (tensor.dtype) {
    case Dtype::kF32:
      if (!values.empty()) std::memcpy(values.data(), data, values.size() * size);
      return values;
    case Dtype::kBF16:
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = bf16_to_float(load_u16(data + 2 * i));
      }
      return values;
    case Dtype::kF16:
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = half_to_float(load_u16(data + 2 * i));
      return values;
    default:
      return bad_input("tensor " + in_quotes(tensor.name) + " is " + std::string(dtype_name(tensor.dtype)) +
                           ", not F32, F16 or BF16", "convert the checkpoint to one of these");
  }
}

std::string to_bf16_bytes(const std::vector<float>& values) {
  std::string bytes(values.size() * 2, '\0');
  for (std::size_t i = 0; i < values.size(); ++i) store_u16(float_to_bf16(values[i]), &bytes[2 * i]);
  return bytes;
}

}  // namespace precept
