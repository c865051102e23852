#pragma once
// Llama-like models in GGUF: the names and the order of rows that llama.cpp has, to and from those of Hugging Face.
//
// llama.cpp rotates neighbouring elements (2i, 2i + 1) of a head in the architecture "llama", Hugging Face elements i and
// i + half. So its converter puts row i of the first half of each head of q and k at 2i, and row i of the second half at
// 2i + 1. qwen2 and qwen3 are not changed. Source: LlamaModel.permute of llama.cpp's converter.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "precept/checkpoint/gguf.h"
#include "precept/checkpoint/gguf_shape.h"
#include "precept/checkpoint/gguf_write.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/result.h"

namespace precept {

// "model.layers.3.self_attn.q_proj.weight" <-> "blk.3.attn_q.weight"; nullopt: no such tensor in these architectures.
// rope_freqs.weight has no counterpart.
std::optional<std::string> gguf_name_of_hf(std::string_view hf_name);
std::optional<std::string> hf_name_of_gguf(std::string_view gguf_name);

// Are the rows of this tensor (of a bias: its elements) in the order told above?
bool gguf_permuted(std::string_view architecture, std::string_view gguf_name);
// Where a row of a permuted tensor lies; heads of `head_dim` rows, which is even.
std::int64_t gguf_row_of_hf(std::int64_t hf_row, std::int64_t head_dim);
std::int64_t hf_row_of_gguf(std::int64_t gguf_row, std::int64_t head_dim);

// A tensor of a GGUF file under Hugging Face's name, in its shape and order. Views the tensor.
struct HfTensor {
  std::string name;
  const GgufTensor* tensor = nullptr;  // its shape is the shape here too
  std::int64_t head_dim = 0;           // more than 0: permuted

  // Rows first to first + out.size() / tensor->row() in Hugging Face's order.
  void read(std::int64_t first, std::span<float> out) const;
  void read_bf16(std::int64_t first, std::span<std::uint16_t> out) const;
};

// All tensors of a file (which must outlive them), sorted by their new names, without rope_freqs.weight. Without
// lm_head.weight the embeddings are the output. Refuses tensors that the architecture does not have, layers beyond
// block_count, and q and k that are not whole heads; all other sizes are the loader's to check.
Result<std::vector<HfTensor>> hf_tensors(const Gguf& file, const GgufShape& shape);

// llama3's scaling as llama.cpp has it: one factor a frequency, by which that frequency is divided. Frequency i is
// theta^(-2i / dimensions); wavelengths above original / low_freq_factor are divided by `factor`, those below
// original / high_freq_factor by 1, those between by what interpolates the frequencies. Computed in double, rounded to float.
struct Llama3Rope {
  double factor = 8, low_freq_factor = 1, high_freq_factor = 4;
  double original_max_position = 8192;
};
std::vector<float> llama3_rope_factors(const Llama3Rope& rope, double theta, std::int64_t dimensions);
// The factors of rope_freqs.weight, rope_dimension_count / 2 of them, positive; nullopt: the file has none.
Result<std::optional<std::vector<float>>> read_rope_factors(const Gguf& file, const GgufShape& shape);

// Writes a Hugging Face checkpoint (F32, F16, BF16) as GGUF with matrices of `type`; vectors stay F32, and rows that are no
// whole blocks of Q8_0 become F16, both as llama.cpp's converter has it. `metadata` carries name, licence, vocabulary...; the shape's keys,
// general.file_type and general.quantization_version are added. `rope_factors`, if any, become rope_freqs.weight.
Status write_gguf_llama(const std::string& path, GgufMetadata metadata, const GgufShape& shape,
                        const std::vector<TensorView>& tensors, GgmlType type, const std::vector<float>& rope_factors = {});

}  // namespace precept
