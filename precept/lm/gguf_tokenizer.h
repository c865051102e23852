#pragma once
// The vocabulary of a GGUF file as the tokenizer takes it. Header only: the engine and the CLI both need it, and neither of
// text/ and checkpoint/ may know the other.

#include <utility>

#include "precept/checkpoint/gguf_vocabulary.h"
#include "precept/text/tokenizer.h"

namespace precept {

// What is absent follows the model's convention: SentencePiece-style vocabularies begin texts with bos.
inline VocabularySpec vocabulary_spec(GgufVocabulary found) {
  VocabularySpec spec;
  spec.model = std::move(found.model);
  if (!found.pre.empty()) spec.pre = std::move(found.pre);
  spec.tokens = std::move(found.tokens);
  spec.scores = std::move(found.scores);
  for (const GgufTokenType type : found.types) spec.token_types.push_back(static_cast<std::int32_t>(type));
  spec.merges = std::move(found.merges);
  spec.bos_id = found.bos;
  spec.eos_id = found.eos;
  spec.unk_id = found.unk;
  spec.pad_id = found.pad;
  spec.add_bos = found.add_bos.value_or(spec.model == "llama");
  spec.add_eos = found.add_eos.value_or(false);
  spec.add_space_prefix = found.add_space_prefix.value_or(true);
  return spec;
}

}  // namespace precept
