#include "precept/checkpoint/gguf_llama.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "precept/core/strict_json.h"

namespace precept {
namespace {

struct Name {
  const char *gguf, *hf;
};
constexpr Name kWhole[] = {{"token_embd.weight", "model.embed_tokens.weight"},
                           {"output_norm.weight", "model.norm.weight"},
                           {"output.weight", "lm_head.weight"}};
// Behind "blk.N." and "model.layers.N.", before ".weight" or ".bias".
constexpr Name kOfLayer[] = {{"attn_norm", "input_layernorm"},
                             {"attn_q", "self_attn.q_proj"},
                             {"attn_k", "self_attn.k_proj"},
                             {"attn_v", "self_attn.v_proj"},
                             {"attn_output", "self_attn.o_proj"},
                             {"attn_q_norm", "self_attn.q_norm"},
                             {"attn_k_norm", "self_attn.k_norm"},
                             {"ffn_norm", "post_attention_layernorm"},
                             {"ffn_gate", "mlp.gate_proj"},
                             {"ffn_up", "mlp.up_proj"},
                             {"ffn_down", "mlp.down_proj"}};
constexpr std::string_view kGgufLayer = "blk.", kHfLayer = "model.layers.";

// "blk.12.attn_q.weight" -> {"12", "attn_q", ".weight"}
struct LayerName {
  std::string_view layer, part, ending;
};

std::optional<LayerName> split_name(std::string_view name, std::string_view prefix) {
  if (name.substr(0, prefix.size()) != prefix) return std::nullopt;
  name.remove_prefix(prefix.size());
  const std::size_t dot = name.find('.');
  const std::string_view layer = name.substr(0, dot);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (dot == std::string_view::npos || layer.empty() || layer.size() > 4 || !std::all_of(layer.begin(), layer.end(), digit) ||
      (layer.size() > 1 && layer[0] == '0')) {
    return std::nullopt;
  }
  name.remove_prefix(dot + 1);
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending) {
      return LayerName{layer, name.substr(0, name.size() - ending.size()), ending};
    }
  }
  return std::nullopt;
}

std::optional<std::string> translate(std::string_view name, const char* const Name::* from, const char* const Name::* to,
                                     std::string_view old_prefix, std::string_view new_prefix) {
  for (const Name& row : kWhole) {
    if (name == row.*from) return row.*to;
  }
  const auto split = split_name(name, old_prefix);
  if (!split) return std::nullopt;
  for (const Name& row : kOfLayer) {
    if (split->part == row.*from) {
      return std::string(new_prefix) + std::string(split->layer) + "." + row.*to + std::string(split->ending);
    }
  }
  return std::nullopt;
}

// Rows of a head as they are asked for, each of them read from where it lies.
template <class T, class Read>
void read_permuted(const GgufTensor& tensor, std::int64_t head_dim, std::int64_t first, std::span<T> out, const Read& read) {
  const auto row = static_cast<std::size_t>(tensor.row());
  if (tensor.shape.size() == 1) {  // a bias: its elements are permuted
    std::vector<T> whole(row);
    read(0, std::span<T>(whole));
    PRECEPT_CHECK(first == 0 && (out.size() == row || out.empty()));
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = whole[static_cast<std::size_t>(gguf_row_of_hf(static_cast<std::int64_t>(i), head_dim))];
    }
    return;
  }
  PRECEPT_CHECK(out.size() % row == 0);
  for (std::size_t i = 0; i < out.size() / row; ++i) {
    read(gguf_row_of_hf(first + static_cast<std::int64_t>(i), head_dim), out.subspan(i * row, row));
  }
}

}  // namespace

std::optional<std::string> gguf_name_of_hf(std::string_view hf_name) {
  return translate(hf_name, &Name::hf, &Name::gguf, kHfLayer, kGgufLayer);
}
std::optional<std::string> hf_name_of_gguf(std::string_view gguf_name) {
  return translate(gguf_name, &Name::gguf, &Name::hf, kGgufLayer, kHfLayer);
}

bool gguf_permuted(std::string_view architecture, std::string_view gguf_name) {
  if (architecture != "llama") return false;
  const auto split = split_name(gguf_name, kGgufLayer);
  return split && (split->part == "attn_q" || split->part == "attn_k");
}

std::int64_t gguf_row_of_hf(std::int64_t hf_row, std::int64_t head_dim) {
  const std::int64_t within = hf_row % head_dim, half = head_dim / 2;
  return hf_row - within + 2 * (within % half) + within / half;
}
std::int64_t hf_row_of_gguf(std::int64_t gguf_row, std::int64_t head_dim) {
  const std::int64_t within = gguf_row % head_dim, half = head_dim / 2;
  return gguf_row - within + half * (within % 2) + within / 2;
}

void HfTensor::read(std::int64_t first, std::span<float> out) const {
  if (head_dim == 0) return tensor->read(first, out);
  read_permuted(*tensor, head_dim, first, out, [&](std::int64_t at, std::span<float> row) { tensor->read(at, row); });
}
void HfTensor::read_bf16(std::int64_t first, std::span<std::uint16_t> out) const {
  if (head_dim == 0) return tensor->read_bf16(first, out);
  read_permuted(*tensor, head_dim, first, out, [&](std::int64_t at, std::span<std::uint16_t> row) { tensor->read_bf16(at, row); });
}

Result<std::vector<HfTensor>> hf_tensors(const Gguf& file, const GgufShape& shape) {
  std::vector<HfTensor> out;
  const auto refuse = [&](const GgufTensor& tensor, const std::string& what) {
    return bad_input("tensor " + in_quotes(tensor.name) + " " + what, "is the model of one of the supported architectures?",
                     file.metadata().file);
  };
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == "rope_freqs.weight") continue;
    auto name = hf_name_of_gguf(tensor.name);
    if (!name) return refuse(tensor, "has no place in the architecture " + shape.architecture);
    HfTensor made{std::move(*name), &tensor, 0};
    if (const auto split = split_name(tensor.name, kGgufLayer)) {
      std::int64_t layer = 0;
      std::from_chars(split->layer.data(), split->layer.data() + split->layer.size(), layer);
      if (layer >= shape.block_count) return refuse(tensor, "is of a layer beyond block_count");
    }
    if (gguf_permuted(shape.architecture, tensor.name)) {
      const std::int64_t rows = tensor.shape.front();
      if (tensor.shape.size() > 2 || rows % shape.key_length != 0) return refuse(tensor, "does not hold whole heads");
      made.head_dim = shape.key_length;
    }
    out.push_back(std::move(made));
  }
  std::sort(out.begin(), out.end(), [](const HfTensor& a, const HfTensor& b) { return a.name < b.name; });
  return out;
}

std::vector<float> llama3_rope_factors(const Llama3Rope& rope, double theta, std::int64_t dimensions) {
  std::vector<float> out;
  for (std::int64_t i = 0; i < dimensions / 2; ++i) {
    const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dimensions));
    const double wavelength = 2 * std::numbers::pi / frequency;
    double by = rope.factor;
    if (wavelength < rope.original_max_position / rope.high_freq_factor) {
      by = 1;
    } else if (wavelength <= rope.original_max_position / rope.low_freq_factor) {
      const double smooth = (rope.original_max_position / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      by = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    out.push_back(static_cast<float>(by));
  }
  return out;
}

Result<std::optional<std::vector<float>>> read_rope_factors(const Gguf& file, const GgufShape& shape) {
  const GgufTensor* tensor = file.find("rope_freqs.weight");
  if (tensor == nullptr) return std::optional<std::vector<float>>();
  const auto refuse = [&](const std::string& what) {
    return bad_input("tensor \"rope_freqs.weight\" " + what, "convert the model again", file.metadata().file);
  };
  if (tensor->shape.size() != 1 || tensor->row() != shape.rope_dimension_count / 2) {
    return refuse("does not hold " + std::to_string(shape.rope_dimension_count / 2) + " factors");
  }
  std::vector<float> factors(static_cast<std::size_t>(tensor->row()));
  tensor->read(0, factors);
  for (const float factor : factors) {
    if (!std::isfinite(factor) || factor <= 0) return refuse("holds a factor that is not positive");
  }
  return factors;
}

}  // namespace precept
