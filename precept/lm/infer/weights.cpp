#include "precept/lm/infer/weights.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/parallel.h"

namespace precept::infer {
namespace {

constexpr const char* kMismatch = "config.json and the weights do not belong together";

// Takes tensors out of a checkpoint by name and shape; remembers which, and the first error.
class Reader {
 public:
  Reader(const std::string& folder, const CheckpointTensors& tensors, const nn::Kernels& kernels, bool pack)
      : folder_(folder), tensors_(tensors), kernels_(kernels), pack_(pack) {}

  std::vector<float> vector(const std::string& name, int size) {
    const TensorView* view = find(name, {size});
    return view != nullptr ? *to_floats(*view) : std::vector<float>{};
  }

  // Matrices with the same inputs, one under the other.
  Matrix matrix(const std::vector<std::pair<std::string, int>>& parts, int cols) {
    Matrix matrix = mapped(parts, cols);
    if (pack_ && !error_) pack(matrix);
    return matrix;
  }

  Matrix mapped(const std::vector<std::pair<std::string, int>>& parts, int cols) {
    Matrix matrix;
    matrix.cols = cols;
    for (const auto& [name, rows] : parts) {
      matrix.rows += rows;
      if (const TensorView* view = find(name, {rows, cols})) matrix.parts.push_back(*view);
    }
    return matrix;
  }

  void pack(Matrix& matrix) const {
    const auto cols = static_cast<std::size_t>(matrix.cols), rows = static_cast<std::size_t>(matrix.rows);
    std::vector<float> plain(rows * cols);
    for (int r = 0; r < matrix.rows; ++r) matrix.row(r, plain.data() + static_cast<std::size_t>(r) * cols);
    matrix.packed.resize(nn::packed_size(cols, rows));
    kernels_.pack_cols(matrix.cols, matrix.rows, plain.data(), cols, matrix.packed.data());
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
    return finite();
  }

 private:
  const TensorView* find(const std::string& name, const std::vector<std::int64_t>& shape) {
    if (error_) return nullptr;
    used_.insert(name);
    const TensorView* view = tensors_.find(name);
    if (view == nullptr) return fail("the checkpoint lacks the tensor " + name);
    if (view->shape != shape) {
      return fail(fmt::format("the tensor {} is [{}], but config.json makes it [{}]", name,
                              fmt::join(view->shape, ", "), fmt::join(shape, ", ")));
    }
    if (!is_float(view->dtype)) return fail(fmt::format("the tensor {} is {}, not F32, F16 or BF16", name, dtype_name(view->dtype)));
    return view;
  }

  // Large tensors are looked through by all processors.
  Status finite() const {
    std::vector<const TensorView*> views;
    for (const TensorView& view : tensors_.tensors) {
      if (is_float(view.dtype)) views.push_back(&view);
    }
    std::vector<char> fine(views.size());
    in_parallel(views.size(), [&](std::size_t i) { fine[i] = all_finite(views[i]->dtype, views[i]->bytes); });
    const auto broken = std::find(fine.begin(), fine.end(), 0);
    if (broken == fine.end()) return {};
    return bad_input("the tensor " + views[static_cast<std::size_t>(broken - fine.begin())]->name + " holds values that are not finite",
                     "the file is damaged, or the training that made it diverged", folder_);
  }

  const TensorView* fail(std::string what) {
    error_ = Error{std::move(what), kMismatch, folder_, 0, ErrorKind::kBadInput};
    return nullptr;
  }

  const std::string& folder_;
  const CheckpointTensors& tensors_;
  const nn::Kernels& kernels_;
  const bool pack_;
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

Result<Weights> load_weights(const std::string& folder, const nn::Kernels& kernels, std::int64_t pack_bytes) {
  Result<LlamaConfig> config = load_llama_config(folder);
  if (!config) return tl::unexpected(config.error());
  Result<CheckpointTensors> tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected(tensors.error());
  Weights weights;
  weights.config = *config;
  weights.tensors = std::move(*tensors);
  const LlamaConfig& shape = weights.config;
  const int hidden = shape.hidden_size, feed_forward = shape.intermediate_size;
  const int queries = shape.num_attention_heads * shape.head_dim;
  const int keys = shape.num_key_value_heads * shape.head_dim;

  Reader reader(folder, weights.tensors, kernels, shape.parameters() <= pack_bytes / std::int64_t{sizeof(float)});
  weights.embed = reader.mapped({{"model.embed_tokens.weight", shape.vocab_size}}, hidden);
  for (int i = 0; i < shape.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".", attention = layer + "self_attn.";
    Weights::Layer one;
    one.input_norm = reader.vector(layer + "input_layernorm.weight", hidden);
    one.post_norm = reader.vector(layer + "post_attention_layernorm.weight", hidden);
    one.qkv = reader.matrix({{attention + "q_proj.weight", queries}, {attention + "k_proj.weight", keys}, {attention + "v_proj.weight", keys}}, hidden);
    if (shape.qkv_bias) {
      for (const auto& [name, size] : {std::pair{"q_proj", queries}, std::pair{"k_proj", keys}, std::pair{"v_proj", keys}}) {
        const std::vector<float> part = reader.vector(attention + name + ".bias", size);
        one.qkv_bias.insert(one.qkv_bias.end(), part.begin(), part.end());
      }
    }
    if (shape.out_bias) one.out_bias = reader.vector(attention + "o_proj.bias", hidden);
    if (shape.qk_norm) {
      one.q_norm = reader.vector(attention + "q_norm.weight", shape.head_dim);
      one.k_norm = reader.vector(attention + "k_norm.weight", shape.head_dim);
    }
    one.out = reader.matrix({{attention + "o_proj.weight", hidden}}, queries);
    one.gate_up = reader.matrix({{layer + "mlp.gate_proj.weight", feed_forward}, {layer + "mlp.up_proj.weight", feed_forward}}, hidden);
    one.down = reader.matrix({{layer + "mlp.down_proj.weight", hidden}}, feed_forward);
    weights.layers.push_back(std::move(one));
  }
  weights.norm = reader.vector("model.norm.weight", hidden);
  weights.head = reader.matrix({{shape.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight", shape.vocab_size}}, hidden);
  if (shape.tie_word_embeddings) {
    const TensorView* head = weights.tensors.find("lm_head.weight");
    const TensorView* embed = weights.tensors.find("model.embed_tokens.weight");
    if (head != nullptr && embed != nullptr && head->bytes == embed->bytes) reader.ignore(head->name);
  }
  if (Status read = reader.finish(); !read) return tl::unexpected(read.error());
  return weights;
}

}  // namespace precept::infer
