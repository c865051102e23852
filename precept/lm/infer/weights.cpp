#include "precept/lm/infer/weights.h"

#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "precept/checkpoint/safetensors.h"

namespace precept::infer {
namespace {

constexpr const char* kMismatch = "config.json and the weights do not belong together";

// Takes tensors out of a checkpoint by name and shape; remembers which, and the first error.
class Reader {
 public:
  Reader(const std::string& folder, const CheckpointTensors& tensors, const nn::Kernels& kernels)
      : folder_(folder), tensors_(tensors), kernels_(kernels) {}

  std::vector<float> vector(const std::string& name, int size) { return read(name, {size}); }

  std::vector<float> matrix(const std::string& name, int rows, int cols) { return read(name, {rows, cols}); }

  // Matrices with the same inputs, one under the other, packed.
  std::vector<float> packed(const std::vector<std::pair<std::string, int>>& parts, int cols) {
    std::vector<float> all;
    for (const auto& part : parts) {
      const std::vector<float> one = matrix(part.first, part.second, cols);
      all.insert(all.end(), one.begin(), one.end());
    }
    return error_ ? std::vector<float>{} : pack(all, cols);
  }

  std::vector<float> pack(const std::vector<float>& matrix, int cols) const {
    const int rows = static_cast<int>(matrix.size() / static_cast<std::size_t>(cols));
    std::vector<float> result(nn::packed_size(static_cast<std::size_t>(cols), static_cast<std::size_t>(rows)));
    kernels_.pack_cols(cols, rows, matrix.data(), static_cast<std::size_t>(cols), result.data());
    return result;
  }

  // Accepts a tensor that the model has no use for.
  void ignore(const std::string& name) { used_.insert(name); }

  Status finish() const {
    if (error_) return tl::unexpected(*error_);
    for (const TensorView& view : tensors_.tensors) {
      const std::string_view frequencies = ".rotary_emb.inv_freq";  // derived; old checkpoints carry it
      const bool derived = view.name.size() > frequencies.size() &&
                           view.name.compare(view.name.size() - frequencies.size(), std::string::npos,
                                             frequencies) == 0;
      if (!derived && used_.count(view.name) == 0) {
        return bad_input("the checkpoint holds the tensor " + view.name + ", which a model of this shape lacks",
                         kMismatch, folder_);
      }
    }
    return {};
  }

 private:
  std::vector<float> read(const std::string& name, const std::vector<std::int64_t>& shape) {
    if (error_) return {};
    used_.insert(name);
    const TensorView* view = tensors_.find(name);
    if (view == nullptr) return fail("the checkpoint lacks the tensor " + name);
    if (view->shape != shape) {
      return fail(fmt::format("the tensor {} is [{}], but config.json makes it [{}]", name,
                              fmt::join(view->shape, ", "), fmt::join(shape, ", ")));
    }
    Result<std::vector<float>> values = to_floats(*view);
    if (!values) {
      error_ = values.error();
      if (error_->file.empty()) error_->file = folder_;
      return {};
    }
    for (const float value : *values) {
      if (!std::isfinite(value)) return fail("the tensor " + name + " holds values that are not finite");
    }
    return std::move(*values);
  }

  std::vector<float> fail(std::string what) {
    error_ = Error{std::move(what), kMismatch, folder_, 0, ErrorKind::kBadInput};
    return {};
  }

  const std::string& folder_;
  const CheckpointTensors& tensors_;
  const nn::Kernels& kernels_;
  std::set<std::string> used_;
  std::optional<Error> error_;
};

}  // namespace

Rotary::Rotary(const LlamaConfig& config, int positions) {
  const auto half = static_cast<std::size_t>(config.head_dim / 2);
  cosines.resize(static_cast<std::size_t>(positions) * half);
  sines.resize(cosines.size());
  const std::vector<double> frequencies = rope_frequencies(config);
  const double factor = rope_attention_factor(config);
  for (std::size_t i = 0; i < half; ++i) {
    for (std::size_t p = 0; p < static_cast<std::size_t>(positions); ++p) {
      const double angle = static_cast<double>(p) * frequencies[i];
      cosines[p * half + i] = static_cast<float>(factor * std::cos(angle));
      sines[p * half + i] = static_cast<float>(factor * std::sin(angle));
    }
  }
}

Result<Weights> load_weights(const std::string& folder, const nn::Kernels& kernels) {
  Result<LlamaConfig> config = load_llama_config(folder);
  if (!config) return tl::unexpected(config.error());
  Weights weights;
  weights.config = *config;
  if (weights.config.head_dim == 0) weights.config.head_dim = config->hidden_size / config->num_attention_heads;
  const LlamaConfig& shape = weights.config;
  const int hidden = shape.hidden_size;
  const int queries = shape.num_attention_heads * shape.head_dim;
  const int keys = shape.num_key_value_heads * shape.head_dim;
  if (shape.head_dim % 2 != 0) return bad_input("head_dim must be even", "", folder + "/config.json");

  const Result<CheckpointTensors> tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected(tensors.error());
  Reader reader(folder, *tensors, kernels);
  weights.embed = reader.matrix("model.embed_tokens.weight", shape.vocab_size, hidden);
  for (int i = 0; i < shape.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    Weights::Layer one;
    one.input_norm = reader.vector(layer + "input_layernorm.weight", hidden);
    one.post_norm = reader.vector(layer + "post_attention_layernorm.weight", hidden);
    one.qkv = reader.packed({{layer + "self_attn.q_proj.weight", queries},
                             {layer + "self_attn.k_proj.weight", keys},
                             {layer + "self_attn.v_proj.weight", keys}},
                            hidden);
    if (shape.qkv_bias) {
      for (const auto& [name, size] : {std::pair{"q_proj", queries}, std::pair{"k_proj", keys}, std::pair{"v_proj", keys}}) {
        const std::vector<float> part = reader.vector(layer + "self_attn." + name + ".bias", size);
        one.qkv_bias.insert(one.qkv_bias.end(), part.begin(), part.end());
      }
    }
    if (shape.out_bias) one.out_bias = reader.vector(layer + "self_attn.o_proj.bias", hidden);
    if (shape.qk_norm) {
      one.q_norm = reader.vector(layer + "self_attn.q_norm.weight", shape.head_dim);
      one.k_norm = reader.vector(layer + "self_attn.k_norm.weight", shape.head_dim);
    }
    one.out = reader.packed({{layer + "self_attn.o_proj.weight", hidden}}, queries);
    one.gate_up = reader.packed({{layer + "mlp.gate_proj.weight", shape.intermediate_size},
                                 {layer + "mlp.up_proj.weight", shape.intermediate_size}},
                                hidden);
    one.down = reader.packed({{layer + "mlp.down_proj.weight", hidden}}, shape.intermediate_size);
    weights.layers.push_back(std::move(one));
  }
  weights.norm = reader.vector("model.norm.weight", hidden);
  if (!shape.tie_word_embeddings) {
    weights.head = reader.packed({{"lm_head.weight", shape.vocab_size}}, hidden);
  } else {
    if (!weights.embed.empty()) weights.head = reader.pack(weights.embed, hidden);
    const TensorView* head = tensors->find("lm_head.weight");
    const TensorView* embed = tensors->find("model.embed_tokens.weight");
    if (head != nullptr && embed != nullptr && head->bytes == embed->bytes) reader.ignore(head->name);
  }
  if (Status read = reader.finish(); !read) return tl::unexpected(read.error());
  return weights;
}

}  // namespace precept::infer
