// Checkpoint folders: one file or shards.

#include <algorithm>
#include <filesystem>

#include "precept/core/strict_json.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"

namespace precept {
namespace {

constexpr std::size_t kMaxIndexBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxShards = 10000;

}  // namespace

Result<ShardIndex> parse_shard_index(std::string_view text, const std::string& file) {
  const auto json = parse_json_object(text, file, 1);
  if (!json) return tl::unexpected<Error>(json.error());
  const auto map = json->find("weight_map");
  if (map == json->end() || !map->is_object() || map->empty()) {
    return bad_input("no \"weight_map\"", "is this a model.safetensors.index.json?", file);
  }
  ShardIndex shards;
  for (auto entry = map->begin(); entry != map->end(); ++entry) {
    const std::string shard = entry->is_string() ? entry->get<std::string>() : "";
    if (shard.empty() || shard[0] == '.' || shard.find('/') != std::string::npos ||
        shard.find('\0') != std::string::npos) {
      return bad_input("tensor " + in_quotes(entry.key()) + " is not mapped to a file of the same folder",
                       "shards are named without a path", file);
    }
    shards[shard].push_back(entry.key());
    if (shards.size() > kMaxShards) return bad_input("too many shards", "is this the right file?", file);
  }
  return shards;
}

Result<CheckpointTensors> join_shards(const ShardIndex& index, const OpenShard& open, const std::string& file_for_errors) {
  const char* hint = "index and shards belong together";
  CheckpointTensors all;
  for (const auto& [shard, names] : index) {  // the names are sorted, as JSON objects are here
    auto file = open(shard);
    if (!file) return tl::unexpected<Error>(file.error());
    for (const std::string& name : names) {
      if (file->find(name) == nullptr) return bad_input("tensor " + in_quotes(name) + " is not in " + in_quotes(shard), hint, file_for_errors);
    }
    for (const TensorView& tensor : file->tensors()) {
      if (std::binary_search(names.begin(), names.end(), tensor.name)) continue;
      return bad_input(in_quotes(shard) + " holds the tensor " + in_quotes(tensor.name) + ", which the index does not list there", hint, file_for_errors);
    }
    all.tensors.insert(all.tensors.end(), file->tensors().begin(), file->tensors().end());
    all.shards.push_back(std::move(*file));
  }
  std::sort(all.tensors.begin(), all.tensors.end(), [](const TensorView& a, const TensorView& b) { return a.name < b.name; });
  return all;
}

Result<CheckpointTensors> open_checkpoint_tensors(const std::string& folder) {
  const std::string single = folder + "/model.safetensors", path = single + ".index.json";
  std::error_code ec;
  if (!std::filesystem::exists(path, ec) || std::filesystem::exists(single, ec)) {
    auto file = Safetensors::open(single);
    if (!file) return tl::unexpected<Error>(file.error());
    CheckpointTensors all;
    all.tensors = file->tensors();
    all.shards.push_back(std::move(*file));
    return all;
  }
  const auto text = read_text(path, kMaxIndexBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto index = parse_shard_index(*text, path);
  if (!index) return tl::unexpected<Error>(index.error());
  return join_shards(*index, [&](const std::string& shard) { return Safetensors::open(folder + "/" + shard); }, path);
}

}  // namespace precept
