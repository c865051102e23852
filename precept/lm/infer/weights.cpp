#include "precept/lm/infer/weights.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "precept/checkpoint/gguf_config.h"
#include "precept/checkpoint/mapped_file.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/parallel.h"

namespace precept::infer {
namespace {

constexpr const char* kMismatch = "config.json and the weights do not belong together";

// A tensor under Hugging Face's name, of whatever file.
struct Source {
  std::vector<std::int64_t> shape;
  Part part;
};
using Sources = std::map<std::string, Source>;

Sources sources_of(const CheckpointTensors& tensors) {
  Sources sources;
  for (const TensorView& view : tensors.tensors) sources[view.name] = {view.shape, {0, view}};
  return sources;
}

Sources sources_of(const std::vector<HfTensor>& tensors) {
  Sources sources;
  for (const HfTensor& tensor : tensors) sources[tensor.name] = {tensor.tensor->shape, {0, tensor}};
  return sources;
}

// Takes tensors out of a checkpoint by name and shape; remembers which, and the first error.
class Reader {
 public:
  // What is read and not mapped is kept in `vectors`.
  Reader(const std::string& path, const Sources& sources, std::vector<std::vector<float>>& vectors)
      : path_(path), sources_(sources), vectors_(vectors) {}

  // Vectors, one behind the other.
  Weights::Vector vector(const std::vector<std::pair<std::string, int>>& parts) {
    std::vector<float> values;
    for (const auto& [name, size] : parts) {
      const Source* source = find(name, {size});
      if (source == nullptr) return {};
      Matrix row;
      row.rows = 1;
      row.cols = size;
      row.parts = {{1, source->part.tensor}};
      values.resize(values.size() + static_cast<std::size_t>(size));
      row.row(0, values.data() + (values.size() - static_cast<std::size_t>(size)));
    }
    return vectors_.emplace_back(std::move(values));
  }
  Weights::Vector vector(const std::string& name, int size) { return vector({{name, size}}); }

  // Matrices with the same inputs, one under the other.
  Matrix matrix(const std::vector<std::pair<std::string, int>>& parts, int cols) {
    Matrix matrix;
    matrix.cols = cols;
    for (const auto& [name, rows] : parts) {
      matrix.rows += rows;
      if (const Source* source = find(name, {rows, cols})) matrix.parts.push_back({rows, source->part.tensor});
    }
    return matrix;
  }

  // Accepts a tensor that the model has no use for.
  void ignore(const std::string& name) { used_.insert(name); }

  Status finish() const {
    if (error_) return tl::unexpected(*error_);
    for (const auto& [name, source] : sources_) {
      const std::string_view frequencies = ".rotary_emb.inv_freq";  // derived; old checkpoints carry it
      const bool derived = name.size() > frequencies.size() &&
                           name.compare(name.size() - frequencies.size(), std::string::npos, frequencies) == 0;
      if (!derived && used_.count(name) == 0) {
        return bad_input("the checkpoint holds the tensor " + name + ", which a model of this shape lacks", kMismatch, path_);
      }
    }
    return finite();
  }

 private:
  const Source* find(const std::string& name, const std::vector<std::int64_t>& shape) {
    if (error_) return nullptr;
    used_.insert(name);
    const auto found = sources_.find(name);
    if (found == sources_.end()) return fail("the checkpoint lacks the tensor " + name);
    const Source& source = found->second;
    if (source.shape != shape) {
      return fail(fmt::format("the tensor {} is [{}], but its config makes it [{}]", name, fmt::join(source.shape, ", "), fmt::join(shape, ", ")));
    }
    const auto* view = std::get_if<TensorView>(&source.part.tensor);
    if (view != nullptr && !is_float(view->dtype)) {
      return fail(fmt::format("the tensor {} is {}, not F32, F16 or BF16", name, dtype_name(view->dtype)));
    }
    return &source;
  }

  // Large tensors are looked through by all processors. What is quantised is not: a broken scale shows in the outputs.
  Status finite() const {
    std::vector<std::tuple<std::string, Dtype, std::string_view>> all;
    for (const auto& [name, source] : sources_) {
      if (const auto* view = std::get_if<TensorView>(&source.part.tensor)) {
        if (is_float(view->dtype)) all.emplace_back(name, view->dtype, view->bytes);
        continue;
      }
      const GgufTensor& tensor = *std::get<HfTensor>(source.part.tensor).tensor;
      if (tensor.type == GgmlType::kF32) all.emplace_back(name, Dtype::kF32, tensor.bytes);
      if (tensor.type == GgmlType::kF16) all.emplace_back(name, Dtype::kF16, tensor.bytes);
      if (tensor.type == GgmlType::kBF16) all.emplace_back(name, Dtype::kBF16, tensor.bytes);
    }
    std::vector<char> fine(all.size());
    in_parallel(all.size(), [&](std::size_t i) {
      const auto& [name, dtype, bytes] = all[i];
      fine[i] = all_finite(dtype, bytes);
      give_back(bytes);
    });
    const auto broken = std::find(fine.begin(), fine.end(), 0);
    if (broken == fine.end()) return {};
    return bad_input("the tensor " + std::get<0>(all[static_cast<std::size_t>(broken - fine.begin())]) + " holds values that are not finite",
                     "the file is damaged, or the training that made it diverged", path_);
  }

  const Source* fail(std::string what) {
    error_ = Error{std::move(what), kMismatch, path_, 0, ErrorKind::kBadInput};
    return nullptr;
  }

  const std::string& path_;
  const Sources& sources_;
  std::vector<std::vector<float>>& vectors_;
  std::set<std::string> used_;
  std::optional<Error> error_;
};

// Config and tensors of a folder or a GGUF file.
Result<Sources> open_sources(const std::string& path, Weights& weights) {
  if (std::filesystem::is_directory(path)) {
    Result<LlamaConfig> config = load_llama_config(path);
    if (!config) return tl::unexpected(config.error());
    Result<CheckpointTensors> tensors = open_checkpoint_tensors(path);
    if (!tensors) return tl::unexpected(tensors.error());
    weights.config = std::move(*config);
    weights.folder = std::move(*tensors);
    return sources_of(weights.folder);
  }
  const Result<Gguf> file = Gguf::open(path);
  if (!file) return tl::unexpected(file.error());
  weights.gguf = *file;
  const Result<GgufShape> shape = read_gguf_shape(weights.gguf->metadata());
  if (!shape) return tl::unexpected(shape.error());
  Result<LlamaConfig> config = config_of_gguf(*weights.gguf, *shape);
  if (!config) return tl::unexpected(config.error());
  weights.config = std::move(*config);
  const Result<std::vector<HfTensor>> tensors = hf_tensors(*weights.gguf, *shape);
  if (!tensors) return tl::unexpected(tensors.error());
  return sources_of(*tensors);
}

bool is_bf16(const Part& part) {
  if (const auto* view = std::get_if<TensorView>(&part.tensor)) return view->dtype == Dtype::kBF16;
  return std::get<HfTensor>(part.tensor).tensor->type == GgmlType::kBF16;
}

nn::Precision precision_of(const std::string& wanted, const Sources& sources) {
  if (wanted != "auto") return wanted == "bf16" ? nn::Precision::kBf16 : nn::Precision::kFp32;
  const bool all = std::all_of(sources.begin(), sources.end(), [](const auto& named) {
    return named.second.shape.size() < 2 || is_bf16(named.second.part);
  });
  return all ? nn::Precision::kBf16 : nn::Precision::kFp32;
}

std::string_view bytes_of(const Part& part) {
  const auto* view = std::get_if<TensorView>(&part.tensor);
  return view != nullptr ? view->bytes : std::get<HfTensor>(part.tensor).tensor->bytes;
}

// In the order of a step.
std::vector<Matrix*> matrices(Weights& weights) {
  std::vector<Matrix*> all;
  for (Weights::Layer& layer : weights.layers) {
    for (Matrix* matrix : {&layer.qkv, &layer.out, &layer.gate, &layer.up, &layer.down}) all.push_back(matrix);
  }
  all.push_back(&weights.head);
  return all;
}

std::size_t lanes_of(const Weights& weights, const Matrix& m) {
  return nn::packed_lanes(weights.precision, static_cast<std::size_t>(m.cols), static_cast<std::size_t>(m.rows));
}

// Where each matrix begins, if each has this size; at the end the size of all.
template <class Size>
std::vector<std::size_t> begins_of(const std::vector<Matrix*>& all, const Size& size) {
  std::vector<std::size_t> begins = {0};
  for (const Matrix* matrix : all) begins.push_back(begins.back() + size(*matrix));
  return begins;
}

// work(matrix, its index) for all; then the pages of the file that it read are given back.
template <class Work>
void each(const std::vector<Matrix*>& all, const Work& work) {
  in_parallel(all.size(), [&](std::size_t i) {
    work(*all[i], i);
    for (const Part& part : all[i]->parts) give_back(bytes_of(part));
  });
}

// Packs every matrix, or none where all together would take more than `limit` bytes.
void pack(Weights& weights, std::int64_t limit) {
  const nn::RowKernels& kernels = nn::row_kernels(weights.precision);
  const std::vector<Matrix*> all = matrices(weights);
  const std::vector<std::size_t> begins = begins_of(all, [&](const Matrix& m) { return lanes_of(weights, m); });
  if (begins.back() * sizeof(nn::Lane) > static_cast<std::size_t>(std::max<std::int64_t>(limit, 0))) return;
  weights.packed = nn::uninitialised<nn::Lane>(begins.back());
  each(all, [&](Matrix& matrix, std::size_t i) {
    nn::Lane* to = weights.packed.get() + begins[i];
    Lanes scratch;
    matrix.pack(kernels, 0, matrix.panels(), to, scratch);
    matrix.packed = {to, begins[i + 1] - begins[i]};
  });
}

void quantise(Weights& weights) {
  const nn::RowKernels& kernels = nn::row_kernels(weights.precision);
  const std::vector<Matrix*> all = matrices(weights);
  const std::size_t pair = weights.precision == nn::Precision::kBf16 ? 2 : 1;
  const std::vector<std::size_t> begins = begins_of(all, [&](const Matrix& m) { return pair * lanes_of(weights, m); });
  const std::vector<std::size_t> rows = begins_of(all, [](const Matrix& m) { return static_cast<std::size_t>(m.panels()) * nn::kPanel; });
  weights.numbers = nn::uninitialised<std::int8_t>(begins.back());
  weights.scales.resize(rows.back());
  each(all, [&](Matrix& matrix, std::size_t i) {
    std::int8_t* numbers = weights.numbers.get() + begins[i];
    float* scales = weights.scales.data() + rows[i];
    matrix.quantise(kernels, numbers, scales);
    matrix.numbers = {numbers, begins[i + 1] - begins[i]};
    matrix.scales = {scales, rows[i + 1] - rows[i]};
  });
}

}  // namespace

std::int64_t Weights::bytes() const {
  std::int64_t sum = 0;
  const auto add = [&](const Matrix& matrix) {
    sum += static_cast<std::int64_t>(matrix.packed.size_bytes() + matrix.numbers.size_bytes() + matrix.scales.size_bytes());
    if (!matrix.packed.empty() || !matrix.numbers.empty()) return;
    for (const Part& part : matrix.parts) sum += static_cast<std::int64_t>(bytes_of(part).size());
  };
  add(embed);
  if (!config.tie_word_embeddings || !head.packed.empty() || !head.numbers.empty()) add(head);
  for (const Layer& layer : layers) {
    for (const Matrix* matrix : {&layer.qkv, &layer.out, &layer.gate, &layer.up, &layer.down}) add(*matrix);
  }
  return sum;
}

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

Result<Weights> load_weights(const std::string& path, const std::string& precision, std::int64_t pack_bytes, Eight eight) {
  Weights weights;
  weights.path = path;
  const Result<Sources> sources = open_sources(path, weights);
  if (!sources) return tl::unexpected(sources.error());
  const LlamaConfig& shape = weights.config;
  const int hidden = shape.hidden_size, feed_forward = shape.intermediate_size;
  const int queries = shape.num_attention_heads * shape.head_dim;
  const int keys = shape.num_key_value_heads * shape.head_dim;

  Reader reader(path, *sources, weights.vectors);
  weights.embed = reader.matrix({{"model.embed_tokens.weight", shape.vocab_size}}, hidden);
  for (int i = 0; i < shape.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".", attention = layer + "self_attn.";
    Weights::Layer one;
    one.input_norm = reader.vector(layer + "input_layernorm.weight", hidden);
    one.post_norm = reader.vector(layer + "post_attention_layernorm.weight", hidden);
    one.qkv = reader.matrix({{attention + "q_proj.weight", queries}, {attention + "k_proj.weight", keys}, {attention + "v_proj.weight", keys}}, hidden);
    if (shape.qkv_bias) {
      one.qkv_bias = reader.vector({{attention + "q_proj.bias", queries}, {attention + "k_proj.bias", keys}, {attention + "v_proj.bias", keys}});
    }
    if (shape.out_bias) one.out_bias = reader.vector(attention + "o_proj.bias", hidden);
    if (shape.qk_norm) {
      one.q_norm = reader.vector(attention + "q_norm.weight", shape.head_dim);
      one.k_norm = reader.vector(attention + "k_norm.weight", shape.head_dim);
    }
    one.out = reader.matrix({{attention + "o_proj.weight", hidden}}, queries);
    one.gate = reader.matrix({{layer + "mlp.gate_proj.weight", feed_forward}}, hidden);
    one.up = reader.matrix({{layer + "mlp.up_proj.weight", feed_forward}}, hidden);
    one.down = reader.matrix({{layer + "mlp.down_proj.weight", hidden}}, feed_forward);
    weights.layers.push_back(std::move(one));
  }
  weights.norm = reader.vector("model.norm.weight", hidden);
  weights.head = reader.matrix({{shape.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight", shape.vocab_size}}, hidden);
  if (shape.tie_word_embeddings) {
    const TensorView* head = weights.folder.find("lm_head.weight");
    const TensorView* embed = weights.folder.find("model.embed_tokens.weight");
    if (head != nullptr && embed != nullptr && head->bytes == embed->bytes) reader.ignore(head->name);
  }
  if (Status read = reader.finish(); !read) return tl::unexpected(read.error());
  weights.precision = precision_of(precision, *sources);
  if (eight == Eight::kYes) {
    quantise(weights);
  } else {
    pack(weights, pack_bytes);
  }
  return weights;
}

}  // namespace precept::infer
