#pragma once
// Low-rank adapters in PEFT's format: a folder with adapter_config.json and adapter_model.safetensors.
//
// LoRA (Hu et al. 2021, arXiv 2106.09685, section 4.1): a matrix W [out, in] is used as W + s B A with A [rank, in],
// B [out, rank] and s = alpha / rank; with use_rslora s = alpha / sqrt(rank) (Kalajdzievski 2023, arXiv 2312.03732,
// theorem 3.2). What an adapter's config may say, and what is refused, is in docs/formats.md.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/checkpoint/save.h"
#include "precept/core/result.h"

namespace precept {

// adapter_config.json.
struct LoraConfig {
  int r = 8;
  double lora_alpha = 8;
  bool use_rslora = false;
  double lora_dropout = 0;  // kept, and of no effect: neither engine nor trainer drops anything
  // Names of modules, or ends of them after a dot; if there are none, `target_pattern` says it: "all-linear" or a pattern.
  std::vector<std::string> target_modules;
  std::string target_pattern;
  std::string base_model_name_or_path;  // as in the file; empty: null
  std::vector<std::pair<std::string, int>> rank_pattern;      // rank of the modules that a key matches
  std::vector<std::pair<std::string, double>> alpha_pattern;  // likewise

  bool operator==(const LoraConfig&) const = default;
};

// A matrix of the base that an adapter may change: the linear layers of all decoder layers.
struct LoraModule {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  int out = 0, in = 0;
};

// One of them with its own rank and scale.
struct LoraTarget : LoraModule {
  int rank = 0;
  double scale = 0;  // s
};

struct LoraPair {
  std::string module;
  std::vector<float> a, b;  // [rank, in], [out, rank]
  bool operator==(const LoraPair&) const = default;
};

struct PeftAdapter {
  LoraConfig config;
  Dtype dtype = Dtype::kF32;     // of the file's tensors: F32 or BF16
  std::vector<LoraPair> pairs;   // in the order of lora_targets
};

inline constexpr int kMaxLoraRank = 65536;

std::vector<LoraModule> lora_modules(const LlamaConfig& base);
// Which modules of this base the config adapts, in the order of lora_modules. Refuses names and keys that match none,
// keys that contradict each other, and a config that adapts nothing.
Result<std::vector<LoraTarget>> lora_targets(const LoraConfig& config, const LlamaConfig& base, const std::string& file = {});

bool is_peft_folder(const std::string& folder);  // has it an adapter_config.json?
// Refuses keys that change the computation and are not supported, by name.
Result<LoraConfig> load_lora_config(const std::string& folder);
Result<LoraConfig> parse_lora_config(std::string_view text, const std::string& file);
std::string lora_config_json(const LoraConfig& config);
// The folder of the base: base_model_name_or_path, absolute or relative to the adapter's folder.
Result<std::string> peft_base_folder(const std::string& folder, const LoraConfig& config);

// Errors name a tensor that is missing, surplus, misshapen, of another type or not finite. F16 is widened to F32.
Result<PeftAdapter> load_peft(const std::string& folder, const LlamaConfig& base);
// Makes the folder. What was loaded is written with the same bits.
Status save_peft(const std::string& folder, const PeftAdapter& adapter, const LlamaConfig& base);

// SHA-256 over the config without the base's path, and the names, types, shapes and bytes of all tensors.
Result<std::string> peft_digest(const std::string& folder);
// Of a base with an adapter on.
std::string adapted_digest(const std::string& base_digest, const std::string& peft_digest);

// Rows of the base's matrix, from row `first` on, with the adapter's part added: W + s B A, every sum in double and rounded once to
// fp32. Shapes must fit (load_peft saw to it).
void add_lora(const LoraTarget& target, const LoraPair& pair, std::int64_t first, std::span<float> rows);
// Writes the checkpoint `out`: that of `base_folder` with the adapter merged in (copy_checkpoint of save.h). Each matrix keeps its
// element type unless the options give one; what the adapter does not change keeps its bits. The adapter fits the base.
Status merge_adapter(const std::string& base_folder, const PeftAdapter& adapter, const std::string& out, const SaveOptions& options = {});

}  // namespace precept
