// An adapter becomes part of its base.

#include <algorithm>
#include <filesystem>
#include <map>

#include "precept/checkpoint/peft.h"
#include "precept/core/io.h"
#include "precept/core/parallel.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

std::string float_bytes(const std::vector<float>& values, Dtype dtype) {
  if (dtype == Dtype::kBF16) return to_bf16_bytes(values);
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

Status copy_if_there(const std::string& from, const std::string& to, const std::string& name) {
  std::error_code ec;
  if (!fs::exists(from + "/" + name, ec)) return {};
  const auto bytes = read_file(from + "/" + name);
  return bytes ? write_file(to + "/" + name, *bytes) : tl::unexpected(bytes.error());
}

}  // namespace

Status copy_tokenizer_files(const std::string& from, const std::string& to) {
  if (from.empty() || from == to) return {};
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat.json", "chat_template.jinja",
                           "generation_config.json", "tokenizer.model"}) {
    if (Status copied = copy_if_there(from, to, name); !copied) return copied;
  }
  return {};
}

void add_lora(const LoraTarget& target, const LoraPair& pair, std::vector<float>& weights) {
  const auto out = static_cast<std::size_t>(target.out), in = static_cast<std::size_t>(target.in), rank = static_cast<std::size_t>(target.rank);
  PRECEPT_CHECK(weights.size() == out * in && pair.a.size() == rank * in && pair.b.size() == out * rank);
  std::vector<double> row(in);
  for (std::size_t i = 0; i < out; ++i) {
    std::fill(row.begin(), row.end(), 0.0);
    for (std::size_t r = 0; r < rank; ++r) {
      const double b = pair.b[i * rank + r];
      const float* a = pair.a.data() + r * in;
      for (std::size_t j = 0; j < in; ++j) row[j] += b * static_cast<double>(a[j]);
    }
    float* w = weights.data() + i * in;
    for (std::size_t j = 0; j < in; ++j) w[j] = static_cast<float>(static_cast<double>(w[j]) + target.scale * row[j]);
  }
}

Status merge_adapter(const std::string& base_folder, const PeftAdapter& adapter, const std::string& out, Dtype dtype) {
  PRECEPT_CHECK(dtype == Dtype::kF32 || dtype == Dtype::kBF16);
  const auto config = load_llama_config(base_folder);
  if (!config) return tl::unexpected(config.error());
  const auto targets = lora_targets(adapter.config, *config);
  if (!targets) return tl::unexpected(targets.error());
  PRECEPT_CHECK(targets->size() == adapter.pairs.size());
  const auto tensors = open_checkpoint_tensors(base_folder);
  if (!tensors) return tl::unexpected(tensors.error());
  std::error_code ec;
  if (fs::equivalent(base_folder, out, ec)) return bad_input("a merged checkpoint cannot take its base's place", "name another folder", out);
  if (Status made = make_folder(out); !made) return made;

  std::map<std::string, std::size_t> changed;  // index of the target, by the tensor's name
  for (std::size_t i = 0; i < targets->size(); ++i) changed[(*targets)[i].name + ".weight"] = i;
  std::vector<std::string> merged(targets->size());
  std::vector<TensorView> views = tensors->tensors;
  std::vector<TensorView*> work;
  for (TensorView& view : views) {
    const auto found = changed.find(view.name);
    if (found == changed.end()) continue;
    const LoraTarget& target = (*targets)[found->second];
    if (view.shape != std::vector<std::int64_t>{target.out, target.in} || !is_float(view.dtype)) {
      return bad_input("the tensor " + view.name + " of the base has not the shape that its config.json gives, or holds no floats", "", base_folder);
    }
    work.push_back(&view);
  }
  if (work.size() != targets->size()) return bad_input("the base lacks a tensor that the adapter changes", "config.json and the weights do not belong together", base_folder);
  in_parallel(work.size(), [&](std::size_t i) {
    TensorView& view = *work[i];
    const std::size_t at = changed.at(view.name);
    std::vector<float> values = *to_floats(view);
    add_lora((*targets)[at], adapter.pairs[at], values);
    merged[at] = float_bytes(values, dtype);
    view.dtype = dtype;
    view.bytes = merged[at];
  });
  if (Status copied = copy_tokenizer_files(base_folder, out); !copied) return copied;
  if (Status copied = copy_if_there(base_folder, out, "config.json"); !copied) return copied;
  return write_safetensors(out + "/model.safetensors", std::move(views), {{"format", "pt"}});
}

}  // namespace precept
