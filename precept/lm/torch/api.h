#pragma once
// How libprecept_lm reaches libprecept_lm_torch, the optional library that computes with libtorch: on GPUs, and for its
// tests on the CPU. It is opened with dlopen when a device asks for it. This header and step.h need no torch.

#include <cstdint>
#include <memory>
#include <string>

#include "precept/core/result.h"
#include "precept/lm/bench/bench.h"
#include "precept/lm/infer/backend.h"
#include "precept/lm/infer/weights.h"
#include "precept/lm/train/batch_trainer.h"

namespace precept::infer {

inline constexpr int kTorchApiVersion = 2;

// What a trainer is made for; all of it is borrowed. `lora`: of the adapter that is trained, or null. `head`: floats of a value head.
struct TrainerSpec {
  const TrainOptions& options;  // `device` names the device
  const nn::Layout& layout;
  const nn::LoraLayout* lora;
  int threads;  // of torch-cpu
  std::size_t head;
  World* world;
};

// A device is "cuda", "cuda:N" or "torch-cpu".
struct TorchApi {
  int version = kTorchApiVersion;
  // Bytes of memory that are free there; 0: not known. kBadInput where this machine or this libtorch has no such device.
  Result<std::int64_t> (*free_bytes)(const std::string& device);
  // Bytes of activations that a step takes at most.
  std::int64_t (*scratch_bytes)(const LlamaConfig& config, nn::Precision precision, const std::string& device);
  // Products of large square matrices, and copies of memory that no cache holds (bytes read and written).
  Result<Roof> (*measure_roof)(const std::string& device, nn::Precision precision);
  // Copies the weights, which should not be packed, to the device; they are not needed afterwards. `cache_bytes`: of keys and
  // values; at least one block is made. `choices`: tokens that may be picked, the first ones. `threads`: of torch-cpu.
  Result<std::unique_ptr<Backend>> (*open)(const Weights& weights, const std::string& device, int threads, std::int64_t cache_bytes, int choices);
  Result<std::unique_ptr<BatchTrainer>> (*open_trainer)(const TrainerSpec& spec);
};

}  // namespace precept::infer

extern "C" const precept::infer::TorchApi* precept_lm_torch_api();
