#pragma once
// The shape of a Llama-architecture model, as config.json of a Hugging Face checkpoint has it.

#include <cstdint>
#include <string>

#include "precept/core/result.h"

namespace precept {

struct LlamaConfig {
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;   // divides num_attention_heads
  int head_dim = 0;              // hidden_size / num_attention_heads unless given
  int max_position_embeddings = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;
  int bos_token_id = -1;         // -1: none
  int eos_token_id = -1;

  std::int64_t parameters() const;
};

// Reads FOLDER/config.json; refuses other architectures and options it does not know, by name.
Result<LlamaConfig> load_llama_config(const std::string& folder);
// The text of config.json, loadable by the function above and by transformers.
std::string llama_config_json(const LlamaConfig& config);

}  // namespace precept
