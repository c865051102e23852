#pragma once
// Checkpoint folders as transformers, vLLM and llama.cpp's converter read them, written piece by piece: beside what the caller
// maps, memory holds a few MB, however large the model is.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/result.h"

namespace precept {

// Most bytes of tensors in one file; a tensor larger than that has a file of its own. 5 GB, as transformers had it for years.
inline constexpr std::int64_t kShardBytes = 5'000'000'000;
// "5GB", "300MB", "1.5GiB", or a number of bytes; at least 1.
Result<std::int64_t> parse_byte_size(const std::string& text);

// model.safetensors, or where that would be larger than `shard_bytes` model-00001-of-0000N.safetensors and
// model.safetensors.index.json: tensors in the given order, in as few shards as that order allows. Weights that were there
// before under such names are gone afterwards. A kill in between leaves the old ones, the new ones, or none that open; no mixture.
Status save_tensors(const std::string& folder, const std::vector<TensorPlan>& plans, const TensorRows& rows,
                    std::int64_t shard_bytes = kShardBytes);

// The folder holds weights, in one file or in shards. They are written after everything else that a training leaves, so a training
// that has left them is done.
bool has_weights(const std::string& folder);

// What a folder of weights, config.json and tokenizer files lacks of a Hugging Face checkpoint: generation_config.json (ids of
// `config`, and `more_ends` that end an answer too), special_tokens_map.json (names of tokenizer_config.json).
Status complete_folder(const std::string& folder, const LlamaConfig& config, const std::vector<int>& more_ends = {});

struct SaveOptions {
  std::optional<Dtype> dtype;  // F32, F16 or BF16 of all tensors; absent: each keeps its own
  std::int64_t shard_bytes = kShardBytes;
};
// Changes rows of the tensor `name`, from `first` on, on their way.
using ChangeRows = std::function<void(const std::string& name, std::int64_t first, std::span<float> rows)>;
// Another folder with the checkpoint of `from`: its tokenizer's files byte for byte, and config.json too unless the element
// type changes. The tensors are checked first. Derived tensors and copies of tied embeddings are left out.
Status copy_checkpoint(const std::string& from, const std::string& to, const SaveOptions& options, const ChangeRows& change = {});

// Files beside the weights that belong to a tokenizer and to generation; copied into checkpoints that are made of others.
Status copy_tokenizer_files(const std::string& from, const std::string& to);

// "float32", "float16", "bfloat16": as config.json names them.
std::string torch_name(Dtype dtype);

}  // namespace precept
