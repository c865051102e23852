#pragma once
// Fine-tuning of low-rank adapters: how they begin, and what is written in the end.

#include <string>
#include <vector>

#include "precept/checkpoint/peft.h"
#include "precept/lm/api.h"
#include "precept/lm/nn/lora.h"

namespace precept {

// What the options ask for as PEFT says it. `base_folder` becomes an absolute path. Refuses ranks and alphas out of range.
Result<LoraConfig> lora_config_of(const LoraOptions& options, const std::string& base_folder);

// As PEFT begins: A uniform in +-1 / sqrt(in) (He et al. 2015, arXiv 1502.01852, with a = sqrt(5)), by (seed, module);
// B zero, so that the model begins as its base.
std::vector<float> initial_lora(const nn::LoraLayout& layout, std::uint64_t seed);

// The flat buffer as an adapter of fp32 tensors.
PeftAdapter adapter_of(const LoraConfig& config, const nn::LoraLayout& layout, const std::vector<float>& flat);

}  // namespace precept
