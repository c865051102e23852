#pragma once
// Weights of a Llama-architecture checkpoint, laid out for the engine's products.

#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/core/result.h"
#include "precept/lm/nn/kernels.h"

namespace precept::infer {

// Everything is fp32: bf16 and f16 weights are widened, which changes no value, and products run in
// fp32. Packed matrices are nn::Kernels::pack_cols of the checkpoint's [out, in]; q, k, v and gate, up
// are one matrix each. Immutable after loading.
struct Weights {
  struct Layer {
    std::vector<float> input_norm, post_norm;
    std::vector<float> qkv, out, gate_up, down;  // packed
    std::vector<float> qkv_bias, out_bias;       // empty where the architecture has none
    std::vector<float> q_norm, k_norm;           // [head_dim] each; empty likewise
  };
  LlamaConfig config;
  std::vector<float> embed;  // [vocab, hidden]
  std::vector<Layer> layers;
  std::vector<float> norm;
  std::vector<float> head;            // packed
};

// Cosines and sines of the rotary angles of positions 0, 1, ..., times rope_attention_factor.
struct Rotary {
  Rotary(const LlamaConfig& config, int positions);
  std::vector<float> cosines, sines;  // [positions, head_dim / 2]
};

// Reads a checkpoint folder. Errors name the tensor that is missing, misshapen, surplus or not finite.
Result<Weights> load_weights(const std::string& folder, const nn::Kernels& kernels);

}  // namespace precept::infer
