#pragma once
// What a killed training run needs to go on, and the files a finished one leaves.

#include <optional>
#include <string>
#include <vector>

#include "precept/lm/train/adamw.h"
#include "precept/lm/train/batches.h"
#include "precept/lm/train/guards.h"

namespace precept {

struct TrainState {
  std::string fingerprint;  // JSON object of everything that decides the result
  std::vector<std::string> kernels;  // that made its steps, each once: other processors have others, and other last bits
  AdamW optimizer;
  Position position;
  std::int64_t used = 0;    // items of the data used up
  TrainSummary summary;
  std::vector<float> losses, weights;  // of every step: mean loss, and sum of weights
  std::vector<Reading> readings;       // of the guards
  std::vector<float> good;             // masters that broke no limit; empty without guards
  std::int64_t good_step = 0;
};

struct Course;

// JSON of the options, shape, start and data that decide the result; folders and threads do not.
std::string train_fingerprint(const TrainOptions& options, const Course& course, const LlamaConfig& config,
                              const std::string& start_digest);

// FOLDER/train.state, whole or absent. One JSON line, then floats, then a digest of all before it.
Status save_state(const std::string& folder, const TrainState& state);
// nullopt: none is there. Refuses a damaged file, and one of a run with another fingerprint, naming
// each difference. `parameters`: floats of the model.
Result<std::optional<TrainState>> load_state(const std::string& folder, const std::string& fingerprint,
                                             std::size_t parameters);

// The weights of FOLDER as fp32 in the layout's order; names a tensor that is missing, of another
// shape, surplus, or not finite.
Result<std::vector<float>> load_weights(const std::string& folder, const nn::Layout& layout);
// Normal(0, 0.02), residual projections scaled by 1 / sqrt(2 layers), norms 1; by (seed, tensor name).
std::vector<float> initial_weights(const nn::Layout& layout, std::uint64_t seed);
// Writes a Hugging Face folder: config.json, the weights (bf16, in shards of `shard_bytes` at most), copies of the tokenizer's
// files, and generation_config.json where those hold none.
Status write_checkpoint(const std::string& folder, const nn::Layout& layout, const std::vector<float>& weights,
                        const std::string& tokenizer_folder, std::int64_t shard_bytes);

// A value head: FOLDER/value_head.safetensors with one tensor [1, size] of fp32, named as transformers' models with one label name
// theirs. It is the last `size` floats of `flat`; 0: none, nothing is written. Read back: hidden_size floats.
inline constexpr const char* kValueHead = "score.weight";
Status write_value_head(const std::string& folder, const std::vector<float>& flat, std::size_t size);
Result<std::vector<float>> load_value_head(const std::string& folder, int hidden_size);

}  // namespace precept
