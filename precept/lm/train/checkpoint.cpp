#include <cmath>

#include <fmt/format.h>

#include "precept/checkpoint/peft.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/lm/train/state.h"

namespace precept {
namespace {

std::vector<std::int64_t> shape_of(const nn::Param& param) {
  if (param.cols == 0) return {param.rows};
  return {param.rows, param.cols};
}

}  // namespace

Result<std::vector<float>> load_weights(const std::string& folder, const nn::Layout& layout) {
  const Result<CheckpointTensors> tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected(tensors.error());
  std::vector<float> weights(layout.size);
  for (const nn::Param& param : layout.params) {
    const TensorView* view = tensors->find(param.name);
    if (!view) {
      return bad_input("the checkpoint lacks the tensor " + param.name,
                       "its config.json and its weights do not belong together", folder);
    }
    if (view->shape != shape_of(param)) {
      return bad_input(fmt::format("tensor {} is [{}] but config.json makes it [{}]", param.name,
                                   fmt::join(view->shape, ", "), fmt::join(shape_of(param), ", ")),
                       "its config.json and its weights do not belong together", folder);
    }
    const Result<std::vector<float>> values = to_floats(*view);
    if (!values) return tl::unexpected(values.error());
    std::copy(values->begin(), values->end(), weights.begin() + static_cast<std::ptrdiff_t>(param.offset));
  }
  for (const float value : weights) {
    if (!std::isfinite(value)) return bad_input("the checkpoint holds weights that are not finite", "", folder);
  }
  return weights;
}

std::vector<float> initial_weights(const nn::Layout& layout, std::uint64_t seed) {
  std::vector<float> weights(layout.size);
  const double residual = 1.0 / std::sqrt(2.0 * layout.config.num_hidden_layers);
  for (const nn::Param& param : layout.params) {
    float* values = weights.data() + param.offset;
    if (param.cols == 0) {  // norms begin at 1, biases at 0
      const bool bias = param.name.size() > 5 && param.name.compare(param.name.size() - 5, 5, ".bias") == 0;
      std::fill(values, values + param.size(), bias ? 0.0F : 1.0F);
      continue;
    }
    Rng rng({seed, hash64(param.name), 0, 0});
    const double spread = param.residual ? 0.02 * residual : 0.02;
    for (std::size_t i = 0; i < param.size(); ++i) values[i] = static_cast<float>(spread * rng.normal());
  }
  return weights;
}

Status write_checkpoint(const std::string& folder, const nn::Layout& layout,
                        const std::vector<float>& weights, const std::string& tokenizer_folder) {
  if (Status made = make_folder(folder); !made) return made;
  if (Status copied = copy_tokenizer_files(tokenizer_folder, folder); !copied) return copied;
  if (Status written = write_file(folder + "/config.json", llama_config_json(layout.config)); !written) {
    return written;
  }
  std::vector<std::string> bytes;
  bytes.reserve(layout.params.size());
  std::vector<TensorView> views;
  for (const nn::Param& param : layout.params) {
    const float* values = weights.data() + param.offset;
    bytes.push_back(to_bf16_bytes(std::vector<float>(values, values + param.size())));
    views.push_back({param.name, Dtype::kBF16, shape_of(param), bytes.back()});
  }
  return write_safetensors(folder + "/model.safetensors", std::move(views), {{"format", "pt"}});
}

Status write_value_head(const std::string& folder, const std::vector<float>& flat, std::size_t size) {
  if (size == 0) return {};
  const std::string_view bytes(reinterpret_cast<const char*>(flat.data() + (flat.size() - size)), size * sizeof(float));
  return write_safetensors(folder + "/value_head.safetensors", {{kValueHead, Dtype::kF32, {1, static_cast<std::int64_t>(size)}, bytes}},
                           {{"format", "pt"}});
}

Result<std::vector<float>> load_value_head(const std::string& folder, int hidden_size) {
  const std::string path = folder + "/value_head.safetensors";
  const auto file = Safetensors::open(path);
  if (!file) {
    Error error = file.error();
    error.hint = "is this the folder of a reward model? precept train reward makes one";
    return tl::unexpected(std::move(error));
  }
  const TensorView* head = file->find(kValueHead);
  if (!head || head->shape != std::vector<std::int64_t>{1, hidden_size}) {
    return bad_input(fmt::format("no tensor {} of [1, {}]", kValueHead, hidden_size), "head and model do not belong together", path);
  }
  if (!all_finite(head->dtype, head->bytes)) return bad_input("holds weights that are not finite", "", path);
  return to_floats(*head);
}

}  // namespace precept
