#pragma once
// What computes for an engine: this processor, or a device that libtorch reaches.

#include <memory>
#include <string>

#include "precept/core/result.h"
#include "precept/lm/api.h"
#include "precept/lm/bench/bench.h"
#include "precept/lm/infer/backend.h"
#include "precept/lm/infer/weights.h"

namespace precept::infer {

struct TorchApi;  // lm/torch/api.h

// Refuses an EngineOptions::device that is none, or that this build or this machine lacks. Quick: no model is needed for it.
Status check_device(const std::string& device);
// Weights and cache then lie elsewhere, and nothing need be packed.
inline bool on_torch(const EngineOptions& options) { return options.device != "cpu"; }

// The backend of options.device, with a cache under all bounds of the options; refuses a budget that holds no cache worth the
// name. `beside`: bytes of adapters that the caller holds. For devices other than "cpu" libprecept_lm_torch.so is opened, which lies
// beside this library.
Result<std::unique_ptr<Backend>> open_backend(Weights weights, const EngineOptions& options, int choices, std::int64_t beside = 0);

// The library that reaches such devices. Error: this build or machine has none.
Result<const TorchApi*> torch_library();

// What a device other than "cpu" does at best.
Result<Roof> measure_device(const std::string& device, nn::Precision precision);

}  // namespace precept::infer
