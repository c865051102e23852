#pragma once
// The shape of a Llama-like model in GGUF metadata: the keys general.architecture and ARCHITECTURE.*.
// Source: docs/gguf.md of ggml; the names that llama.cpp reads.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "precept/checkpoint/gguf_metadata.h"
#include "precept/core/result.h"

namespace precept {

// How rotary positions are stretched. llama3's is not here: it is the tensor rope_freqs.weight (gguf_llama.h).
struct GgufRopeScaling {
  std::string type = "none";                    // "none", "linear", "yarn" or "longrope"
  double factor = 1;
  std::int64_t original_context_length = 0;     // 0: not given
  std::optional<double> attn_factor;            // absent: by the type's own rule
  std::optional<double> yarn_log_multiplier, yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;

  bool operator==(const GgufRopeScaling&) const = default;
};

struct GgufShape {
  std::string architecture;              // "llama" (Mistral's too), "qwen2", "qwen3"
  std::int64_t block_count = 0;          // layers
  std::int64_t context_length = 0;
  std::int64_t embedding_length = 0;     // hidden size
  std::int64_t feed_forward_length = 0;
  std::int64_t head_count = 0;
  std::int64_t head_count_kv = 0;        // divides head_count; head_count if absent
  std::int64_t key_length = 0;           // elements of a head; embedding_length / head_count if absent
  std::int64_t value_length = 0;         // the same
  std::int64_t rope_dimension_count = 0;  // elements of a head that are rotated; key_length if absent
  std::int64_t vocab_size = 0;           // the number of tokenizer.ggml.tokens if absent
  std::int64_t sliding_window = 0;       // 0: none
  double rms_epsilon = 0;                // stored as f32, read back as the shortest decimal that f32 stands for
  double rope_freq_base = 10000;         // the same
  GgufRopeScaling rope_scaling;

  bool operator==(const GgufShape&) const = default;
};

bool gguf_architecture_supported(std::string_view architecture);

// Refuses by name: other architectures, a part of a split file, a mixture of experts, layers of different shapes, keys of
// the architecture that are not known here (they may change what the model computes), numbers that do not fit together.
Result<GgufShape> read_gguf_shape(const GgufMetadata& metadata);
// Sets general.architecture and the architecture's keys; what reading gives back is equal, up to f32.
void write_gguf_shape(const GgufShape& shape, GgufMetadata& metadata);

}  // namespace precept
