#include "precept/checkpoint/save.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <set>

#include "precept/checkpoint/llama_tensors.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using Ordered = nlohmann::ordered_json;

constexpr std::size_t kMaxConfigBytes = std::size_t{64} << 20;
const char* const kSingle = "model.safetensors";
const char* const kIndex = "model.safetensors.index.json";
const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};

std::string shard_name(std::size_t number, std::size_t count) {
  const auto five = [](std::size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  return "model-" + five(number) + "-of-" + five(count) + ".safetensors";
}

bool is_shard_name(const std::string& name) {
  const std::string like = shard_name(0, 0);
  if (name.size() != like.size()) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool digit = name[i] >= '0' && name[i] <= '9';
    if (like[i] == '0' ? !digit : name[i] != like[i]) return false;
  }
  return true;
}

std::int64_t bytes_of(const TensorPlan& plan) {
  auto bytes = static_cast<std::int64_t>(dtype_size(plan.dtype));
  for (const std::int64_t n : plan.shape) bytes *= n;
  return bytes;
}

// Where each shard begins among the plans, and the end.
std::vector<std::size_t> cut(const std::vector<TensorPlan>& plans, std::int64_t shard_bytes) {
  std::vector<std::size_t> begins = {0};
  std::int64_t held = 0;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const std::int64_t bytes = bytes_of(plans[i]);
    if (held > 0 && held + bytes > shard_bytes) {
      begins.push_back(i);
      held = 0;
    }
    held += bytes;
  }
  begins.push_back(plans.size());
  return begins;
}

// Weights under the usual names other than `kept`.
void remove_others(const std::string& folder, const std::set<std::string>& kept) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if ((name == kSingle || name == kIndex || is_shard_name(name)) && kept.count(name) == 0) fs::remove(entry.path(), ignored);
  }
}

Status copy_if_there(const std::string& from, const std::string& to, const std::string& name) {
  std::error_code ec;
  if (!fs::exists(from + "/" + name, ec)) return {};
  const auto bytes = read_file(from + "/" + name);
  return bytes ? write_file(to + "/" + name, *bytes) : tl::unexpected(bytes.error());
}

// config.json with another element type.
Status write_config_as(const std::string& from, const std::string& to, Dtype dtype) {
  const std::string path = from + "/config.json";
  const auto text = read_text(path, kMaxConfigBytes);
  if (!text) return tl::unexpected(text.error());
  auto json = Ordered::parse(*text, nullptr, false);
  if (!json.is_object()) return bad_input("is no JSON object", "check the file", path);
  json[json.contains("dtype") ? "dtype" : "torch_dtype"] = torch_name(dtype);
  return write_file(to + "/config.json", json.dump(1, ' ', false, Ordered::error_handler_t::replace) + "\n");
}

}  // namespace

std::string torch_name(Dtype dtype) { return dtype == Dtype::kF32 ? "float32" : dtype == Dtype::kF16 ? "float16" : "bfloat16"; }

Result<std::int64_t> parse_byte_size(const std::string& text) {
  struct Unit {
    const char* name;
    double bytes;
  };
  static const Unit units[] = {{"", 1},       {"B", 1},        {"KB", 1e3},           {"MB", 1e6},           {"GB", 1e9},
                               {"TB", 1e12},  {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  double number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const std::string unit(end, text.data() + text.size());
  for (const Unit& one : units) {
    if (wrong == std::errc() && unit == one.name && number * one.bytes >= 1 && number * one.bytes <= 1e18) {
      return static_cast<std::int64_t>(number * one.bytes);
    }
  }
  return bad_input(in_quotes(text) + " is no size of a file", "write it as 5GB, 300MB or 2GiB");
}

Status save_tensors(const std::string& folder, const std::vector<TensorPlan>& plans, const TensorRows& rows, std::int64_t shard_bytes) {
  const std::vector<std::size_t> begins = cut(plans, shard_bytes);
  const std::size_t count = begins.size() - 1;
  Ordered index = {{"metadata", {{"total_size", 0}}}, {"weight_map", Ordered::object()}};
  std::map<std::string, std::string> places;
  std::set<std::string> written;
  std::int64_t total = 0;
  std::error_code ignored;
  // Shards of two trainings could have the same names: without an index none of a mixture opens.
  if (count > 1) fs::remove(folder + "/" + kIndex, ignored);
  for (std::size_t shard = 0; shard < count; ++shard) {
    const std::size_t begin = begins[shard];
    const std::vector<TensorPlan> part(plans.begin() + static_cast<std::ptrdiff_t>(begin), plans.begin() + static_cast<std::ptrdiff_t>(begins[shard + 1]));
    const std::string name = count == 1 ? kSingle : shard_name(shard + 1, count);
    for (const TensorPlan& plan : part) {
      places[plan.name] = name;
      total += bytes_of(plan);
    }
    const auto of_part = [&](std::size_t i, std::int64_t first, std::span<float> out) { return rows(begin + i, first, out); };
    if (Status fine = write_safetensors(folder + "/" + name, part, of_part, kMetadata); !fine) return fine;
    written.insert(name);
  }
  if (count > 1) {
    index["metadata"]["total_size"] = total;
    index["weight_map"] = places;
    if (Status fine = write_file(folder + "/" + kIndex, index.dump(2) + "\n"); !fine) return fine;
    written.insert(kIndex);
  }
  remove_others(folder, written);
  return {};
}

bool has_weights(const std::string& folder) {
  std::error_code ignored;
  return fs::exists(folder + "/" + kSingle, ignored) || fs::exists(folder + "/" + kIndex, ignored);
}

Status complete_folder(const std::string& folder, const LlamaConfig& config, const std::vector<int>& more_ends) {
  std::error_code ec;
  if (const std::string path = folder + "/generation_config.json"; !fs::exists(path, ec)) {
    Ordered out = {{"_from_model_config", true}};
    if (config.bos_token_id >= 0) out["bos_token_id"] = config.bos_token_id;
    std::vector<int> ends;
    if (config.eos_token_id >= 0) ends.push_back(config.eos_token_id);
    for (const auto* more : {&config.more_eos_token_ids, &more_ends}) {
      for (const int id : *more) {
        if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
      }
    }
    if (ends.size() == 1) out["eos_token_id"] = ends[0];
    if (ends.size() > 1) out["eos_token_id"] = ends;
    if (Status fine = write_file(path, out.dump(1) + "\n"); !fine) return fine;
  }
  const std::string map = folder + "/special_tokens_map.json", from = folder + "/tokenizer_config.json";
  if (fs::exists(map, ec) || !fs::exists(from, ec)) return {};
  const auto text = read_text(from, kMaxConfigBytes);
  if (!text) return tl::unexpected(text.error());
  const auto json = parse_json_object(*text, from);
  if (!json) return tl::unexpected(json.error());
  Ordered out = Ordered::object();
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "additional_special_tokens"}) {
    if (json->contains(key) && !(*json)[key].is_null()) out[key] = (*json)[key];
  }
  return write_file(map, out.dump(1, ' ', false, Ordered::error_handler_t::replace) + "\n");
}

Status copy_tokenizer_files(const std::string& from, const std::string& to) {
  std::error_code ec;
  if (from.empty() || from == to || fs::equivalent(from, to, ec)) return {};
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
                           "tokenizer.model", "chat.json", "chat_template.jinja", "generation_config.json"}) {
    if (Status copied = copy_if_there(from, to, name); !copied) return copied;
  }
  return {};
}

Status copy_checkpoint(const std::string& from, const std::string& to, const SaveOptions& options, const ChangeRows& change) {
  const auto config = load_llama_config(from);
  if (!config) return tl::unexpected(config.error());
  const auto tensors = open_checkpoint_tensors(from);
  if (!tensors) return tl::unexpected(tensors.error());
  if (Status fine = check_llama_checkpoint(*config, *tensors, from); !fine) return fine;
  std::error_code ec;
  if (fs::equivalent(from, to, ec)) return bad_input("a checkpoint cannot take the place of the one it is made of", "name another folder", to);
  if (Status made = make_folder(to); !made) return made;

  std::vector<TensorPlan> plans;
  std::vector<TensorView> sources;
  for (const TensorShape& wanted : llama_tensors(*config)) {
    const TensorView& view = *tensors->find(wanted.name);
    plans.push_back({view.name, options.dtype.value_or(view.dtype), view.shape});
    sources.push_back(view);
  }
  const auto rows = [&](std::size_t i, std::int64_t first, std::span<float> out) -> Status {
    const TensorView& source = sources[i];
    const auto at = static_cast<std::size_t>(first * source.shape.back()) * dtype_size(source.dtype);
    widen(source.dtype, source.bytes.data() + at, out.size(), out.data());
    if (change) change(plans[i].name, first, out);
    return {};
  };
  if (Status copied = copy_tokenizer_files(from, to); !copied) return copied;
  Status written = options.dtype ? write_config_as(from, to, *options.dtype) : copy_if_there(from, to, "config.json");
  if (!written) return written;
  if (Status fine = complete_folder(to, *config); !fine) return fine;
  return save_tensors(to, plans, rows, options.shard_bytes);
}

}  // namespace precept
