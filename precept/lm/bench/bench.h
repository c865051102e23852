#pragma once
// Speed of this machine and of the engine on it: what the machine can do is measured first, in the same run, and all else
// is given as a share of that.

#include <cstdint>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/core/events.h"
#include "precept/core/result.h"

namespace precept {

// What the machine does at best with `threads` threads.
struct Roof {
  double gemm_gflops = 0;  // products of large matrices that stay in the caches; for bf16 in the faster of both precisions
  double memory_gbps = 0;  // reading memory that no cache holds
};

struct BenchOptions {
  std::string shape = "135m";  // pocket, 135m, 360m, 1b or 8b (random weights), or a checkpoint's folder
  std::string precision = "bf16", weights = "auto";  // see EngineOptions
  int threads = 0;             // 0: all cores
  std::string device = "cpu";  // see EngineOptions; the roofs are then that device's
  std::vector<int> sequences = {1, 8, 32, 64};
  std::vector<int> prompts = {128};  // tokens of each sequence's prompt
  int tokens = 64;                   // new ones of each
  int turns = 1;                     // every decode measurement is made so many times, by turns
  int prefill = 512;              // tokens of the prompts of the prefill measurement
  std::string save;               // folder for the random checkpoint; empty: a temporary one
};

struct BenchReport {
  // Of the turn with the median time.
  struct Decode {
    int sequences = 0, prompt = 0;
    double tokens_per_s = 0;           // new tokens, all sequences together
    double step_ms = 0, step_mb = 0;   // of one step: what it takes, and weights, keys and values that it reads
    double share_of_gemm_roof = 0;     // 2 operations a weight and token, attention not counted
    // Of reading, where weights are read once a step, and every sequence's keys and values: as fast as memory was between the steps
    // of the same run, since on a shared machine that changes from one second to the next. Of a small model both are a cache's speed.
    double share_of_memory_roof = 0;
    double memory_gbps = 0;
    double seconds = 0;
    double prompt_seconds = 0;         // what the prompts and the first new tokens took before
  };
  Roof roof;
  std::vector<Decode> decode;
  double prefill_tokens_per_s = 0, prefill_share_of_gemm_roof = 0;
  std::int64_t parameters = 0;  // that multiply; the head's included
  std::string precision, weights, kernels;  // kernels: of the CPU, or the device
  int threads = 0;
};

// Shapes of models of the field by their size: SmolLM2-135M and -360M, Llama 3.2 1B, Llama 3.1 8B, and the built-in model.
Result<LlamaConfig> bench_shape(const std::string& name);
// A checkpoint of that shape in bf16 with random weights and a tokenizer in which every letter is one token.
Status write_random_checkpoint(const LlamaConfig& shape, const std::string& folder);

Roof measure_roof(const std::string& precision, int threads);
Result<BenchReport> bench_engine(const BenchOptions& options, const EventSink& events);

}  // namespace precept
