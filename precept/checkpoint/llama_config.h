#pragma once
// The shape of a decoder of the Llama family, as config.json of a Hugging Face checkpoint has it: Llama 2 and 3
// (SmolLM2 too), Mistral, Qwen2 and 2.5, Qwen3. They are one decoder; what differs is named below.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"

namespace precept {

enum class Architecture { kLlama, kMistral, kQwen2, kQwen3 };

// How rotary frequencies are stretched for contexts longer than those of pretraining. Names as in config.json.
struct RopeScaling {
  enum class Type { kNone, kLinear, kLlama3, kYarn };
  Type type = Type::kNone;
  double factor = 1;
  int original_max_position_embeddings = 0;          // llama3, yarn; yarn without it: max_position_embeddings
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  double beta_fast = 32, beta_slow = 1;              // yarn
  double attention_factor = 0;                       // yarn; 0: 0.1 ln(factor) + 1
  bool truncate = true;                              // yarn: the ramp begins and ends at whole dimensions
};

struct LlamaConfig {
  Architecture architecture = Architecture::kLlama;
  int vocab_size = 0;
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;   // divides num_attention_heads
  int head_dim = 0;              // unless given hidden_size / num_attention_heads; 128 in Qwen3
  int max_position_embeddings = 0;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool qkv_bias = false;         // q, k and v projections add a bias (Qwen2; "attention_bias" elsewhere)
  bool out_bias = false;         // and so does the attention's output ("attention_bias", not Qwen2)
  bool qk_norm = false;          // RMSNorm of every head of q and k before rotation (Qwen3)
  int sliding_window = 0;        // a position sees itself and sliding_window - 1 before it; 0: all before it
  std::vector<bool> slides;      // by layer: does the window hold there? Empty: in every layer
  bool tie_word_embeddings = false;
  int bos_token_id = -1;         // -1: none
  int eos_token_id = -1;
  std::vector<int> more_eos_token_ids;  // where config.json lists several: those after the first

  std::int64_t parameters() const;
  // The window of a layer; 0: none.
  int window(int layer) const {
    return slides.empty() || slides[static_cast<std::size_t>(layer)] ? sliding_window : 0;
  }
};

// Reads FOLDER/config.json; refuses other architectures and options it does not know, by name.
Result<LlamaConfig> load_llama_config(const std::string& folder);
Result<LlamaConfig> parse_llama_config(std::string_view text, const std::string& file_for_errors);
// The text of config.json, loadable by the function above and by transformers. `torch_dtype`: "float32", "float16", "bfloat16".
std::string llama_config_json(const LlamaConfig& config, const std::string& torch_dtype = "bfloat16");

// Rotary angle of a position at each of head_dim / 2 pairs, divided by the position, with the scaling applied
// (linear: Chen et al. 2023, arXiv 2306.15595; yarn: Peng et al. 2023, arXiv 2309.00071; llama3: Llama 3.1's).
std::vector<double> rope_frequencies(const LlamaConfig& config);
// What cosines and sines are multiplied by; not 1 with yarn only.
double rope_attention_factor(const LlamaConfig& config);

}  // namespace precept
