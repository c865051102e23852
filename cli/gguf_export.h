#pragma once
// Checkpoints between a Hugging Face folder and one GGUF file, vocabulary and chat template included.

#include <string>

#include "precept/core/result.h"

namespace precept {

// `type` is f32, f16, bf16 or q8_0. Byte-level BPE of the families that llama.cpp knows by name; others are refused.
Status folder_to_gguf(const std::string& folder, const std::string& path, const std::string& type);
// Weights as bf16. The weights come last: a folder without them is no model.
Status gguf_to_folder(const std::string& path, const std::string& folder);

}  // namespace precept
