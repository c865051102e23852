#pragma once
// The vocabulary of a checkpoint folder as a GGUF file carries it.

#include <string>

#include "precept/checkpoint/gguf_vocabulary.h"
#include "precept/checkpoint/llama_config.h"
#include "precept/core/result.h"

namespace precept {

// Byte-level tokenizers that split in a way that llama.cpp has a name for ("gpt2" there), and character BPE whose merges follow
// from one score a token, as those made of SentencePiece models do ("llama"). Any other is refused: llama.cpp would read texts
// in another way.
Result<GgufVocabulary> gguf_vocabulary_of(const std::string& folder, const LlamaConfig& config);

}  // namespace precept
