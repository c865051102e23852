#pragma once
// The tensors that a checkpoint of a config has, under Hugging Face's names.

#include <cstdint>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/result.h"

namespace precept {

struct TensorShape {
  std::string name;
  std::vector<std::int64_t> shape;  // matrices [outputs, inputs], vectors [size]
};

// All of them, in the order of the computation; lm_head.weight only where the embeddings are not the output too.
std::vector<TensorShape> llama_tensors(const LlamaConfig& config);

// "rotary_emb.inv_freq" of a layer: derived from the config; old checkpoints carry it, and nothing reads it.
bool is_derived_tensor(const std::string& name);

// Are these all the tensors of the config and no other? Names one that is missing, surplus or misshapen.
Status check_llama_tensors(const LlamaConfig& config, const std::vector<TensorShape>& found, const std::string& file);
// The same of an open checkpoint, which may hold tied embeddings a second time as lm_head.weight, if they are the same bytes;
// names a tensor that is not F32, F16 or BF16, or holds numbers that are not finite.
Status check_llama_checkpoint(const LlamaConfig& config, const CheckpointTensors& tensors, const std::string& folder);

// "[3, 4]"
std::string shape_text(const std::vector<std::int64_t>& shape);

}  // namespace precept
