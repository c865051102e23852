#pragma once
// Between the shape of a GGUF file and config.json's.

#include "precept/checkpoint/gguf.h"
#include "precept/checkpoint/gguf_shape.h"
#include "precept/checkpoint/llama_config.h"
#include "precept/core/result.h"

namespace precept {

// What cannot be said in a LlamaConfig is refused by name: heads of which only a part is rotated, keys and values of
// different widths, longrope, yarn with settings of its own, and rope_freqs.weight that does not follow llama3's rule.
Result<LlamaConfig> config_of_gguf(const Gguf& file, const GgufShape& shape);

// Refuses what GGUF's architectures cannot say: windows in some layers only, yarn with an attention factor or a ramp of its own,
// qwen3 with biases, and qwen2 whose heads do not add up to the hidden size.
Result<GgufShape> gguf_shape_of(const LlamaConfig& config);
// rope_freqs.weight of a config: llama3's factors; empty for others.
std::vector<float> gguf_rope_factors(const LlamaConfig& config);

}  // namespace precept
