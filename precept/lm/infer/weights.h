#pragma once
// Weights of a Llama-architecture checkpoint, laid out for the engine's products.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/core/result.h"
#include "precept/lm/infer/matrix.h"
#include "precept/lm/nn/llama.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::infer {

// Factors are rounded to the precision (bf16 weights are bf16 already; in fp32 bf16 and f16 are widened, which changes no
// value). q, k and v are one matrix. What is loaded stays as it is; what a trainer owns changes with its steps.
struct Weights {
  std::int64_t bytes() const;  // of matrices as they lie in memory, packed or mapped
  void embedding(int token, float* row) const { trained ? trained->embedding(token, row) : embed.row(token, row); }
  std::string path;
  using Vector = std::span<const float>;  // not owned
  struct Layer {
    Vector input_norm, post_norm;
    Matrix qkv, out, gate, up, down;
    Vector qkv_bias, out_bias;  // empty where the architecture has none
    Vector q_norm, k_norm;      // [head_dim] each; empty likewise
  };
  LlamaConfig config;
  nn::Precision precision = nn::Precision::kFp32;
  CheckpointTensors folder;   // what matrices that are not packed read, one of the two
  std::optional<Gguf> gguf;
  nn::Uninitialised<nn::Lane> packed;      // all that are packed, one behind the other in the order of a step: together they fill large pages
  nn::Uninitialised<std::int8_t> numbers;  // of all matrices, where they have 8 bits
  std::vector<float> scales;
  std::vector<std::vector<float>> vectors;  // that were read
  Matrix embed;               // [vocab, hidden], never packed; nothing where embeddings are a trainer's
  const nn::Weights* trained = nullptr;
  std::vector<Layer> layers;
  Vector norm;
  Matrix head;  // [vocab, hidden]
};

// Cosines and sines of the rotary angles of positions 0, 1, ..., times rope_attention_factor.
struct Rotary {
  Rotary() = default;
  Rotary(const LlamaConfig& config, int positions);
  std::vector<float> cosines, sines;  // [positions, head_dim / 2]
};

// Rounds all matrices but the embeddings to 8 bits (Matrix::quantise) instead of packing them: half of bf16's memory.
enum class Eight { kNo, kYes };

// Reads a checkpoint folder or a GGUF file. Errors name the tensor that is missing, misshapen, surplus or not finite. Matrices are
// packed if all of them take at most `pack_bytes` so; the pages of the file that were read for that are given back.
// `precision` is "bf16", "fp32", or "auto": bf16 for checkpoints whose matrices are all bf16, else fp32.
Result<Weights> load_weights(const std::string& path, const std::string& precision, std::int64_t pack_bytes, Eight eight = Eight::kNo);

// Those of a trainer, where they lie: it packs matrices as load_weights() does, so nothing is copied, and what it changes is changed
// here. Borrowed; packed by these kernels, whose precision is that of the products.
Weights trained_weights(const nn::Layout& layout, const nn::Weights& weights, const nn::Kernels& kernels);

}  // namespace precept::infer
