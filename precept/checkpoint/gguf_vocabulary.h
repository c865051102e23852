#pragma once
// The vocabulary of a model as GGUF metadata carries it: the keys tokenizer.ggml.* and tokenizer.chat_template. What a
// tokenizer does with it is not decided here.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "precept/checkpoint/gguf_metadata.h"
#include "precept/core/result.h"

namespace precept {

// The values are those of the format.
enum class GgufTokenType : std::int32_t { kUndefined = 0, kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

struct GgufVocabulary {
  std::string model;                 // "llama": SentencePiece-style with scores; "gpt2": byte pairs with merges
  std::string pre;                   // how text is split before merging: "llama-bpe", "qwen2"...; may be empty
  std::vector<std::string> tokens;   // id -> text; at least one; in "gpt2" spelled in GPT-2's byte alphabet
  std::vector<float> scores;         // empty, or one a token
  std::vector<GgufTokenType> types;  // empty, or one a token
  std::vector<std::string> merges;   // "left right", the first merges first
  std::optional<std::int32_t> bos, eos, eot, eom, unk, pad;  // ids of tokens
  std::optional<bool> add_bos, add_eos, add_space_prefix;    // absent: by the model's convention
  std::optional<std::string> chat_template;                  // Jinja

  bool operator==(const GgufVocabulary&) const = default;
};

// Refuses lists of different lengths, ids that are none of the vocabulary (but a padding or unknown id beyond it, as
// converters write for models without one, is left out), unknown token types.
Result<GgufVocabulary> read_gguf_vocabulary(const GgufMetadata& metadata);
// Sets the keys of what is there; what reading gives back is equal.
void write_gguf_vocabulary(const GgufVocabulary& vocabulary, GgufMetadata& metadata);

}  // namespace precept
