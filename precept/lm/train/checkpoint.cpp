#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "precept/checkpoint/llama_tensors.h"
#include "precept/checkpoint/save.h"
#include "precept/core/io.h"
#include "precept/core/parallel.h"
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
  if (Status fine = check_llama_checkpoint(layout.config, *tensors, folder); !fine) return tl::unexpected(fine.error());
  std::vector<float> weights(layout.size);
  in_parallel(layout.params.size(), [&](std::size_t i) {
    const nn::Param& param = layout.params[i];
    const TensorView* view = tensors->find(param.name);
    PRECEPT_CHECK(view != nullptr && view->shape == shape_of(param));
    widen(view->dtype, view->bytes.data(), param.size(), weights.data() + param.offset);
  });
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

Status write_checkpoint(const std::string& folder, const nn::Layout& layout, const std::vector<float>& weights,
                        const std::string& tokenizer_folder, std::int64_t shard_bytes) {
  if (Status made = make_folder(folder); !made) return made;
  if (Status copied = copy_tokenizer_files(tokenizer_folder, folder); !copied) return copied;
  if (Status written = write_file(folder + "/config.json", llama_config_json(layout.config)); !written) {
    return written;
  }
  if (Status fine = complete_folder(folder, layout.config); !fine) return fine;
  std::vector<TensorPlan> plans;
  for (const nn::Param& param : layout.params) plans.push_back({param.name, Dtype::kBF16, shape_of(param)});
  const auto rows = [&](std::size_t index, std::int64_t first, std::span<float> out) -> Status {
    const nn::Param& param = layout.params[index];
    const float* from = weights.data() + param.offset + static_cast<std::size_t>(first * plans[index].shape.back());
    std::copy(from, from + out.size(), out.begin());
    return {};
  };
  return save_tensors(folder, plans, rows, shard_bytes);
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
