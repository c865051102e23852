#pragma once
// Tokenizers out of other files than tokenizer.json. Internal to text/.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/tables.h"

namespace precept {

// A whole tokenizer.json, as Tokenizer::parse reads it.
Result<std::shared_ptr<Tokenizer::Tables>> tables_from_json(const nlohmann::json& root, const std::string& file_for_errors);

// A post-processor that puts tokens (name, id) around the text; null if there are none.
using NamedToken = std::optional<std::pair<std::string, std::int32_t>>;
nlohmann::json around_text(const NamedToken& before, const NamedToken& after);

// Pre-tokenizer of a model family and ByteLevel after it.
nlohmann::json byte_level_split(const std::vector<std::string>& regexes);

// A vocabulary of SentencePiece.
struct SentencePieces {
  enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::vector<std::string> text;
  std::vector<float> score;
  std::vector<int> type;
  bool unigram = false;
  bool byte_fallback = false;
  std::string charsmap_base64;
  bool add_dummy_prefix = true, remove_extra_whitespaces = false;
  bool user_defined_in_model = true;  // SentencePiece: found before merging; llama.cpp: before anything else
  std::optional<std::int32_t> unk, bos, eos, pad;
  bool add_bos = false, add_eos = false;
};
Result<std::shared_ptr<Tokenizer::Tables>> tables_from_pieces(SentencePieces pieces, const std::string& file_for_errors);

// Protobuf bytes of a .model file.
Result<SentencePieces> read_sentencepiece(std::string_view bytes, const std::string& file_for_errors);

}  // namespace precept
