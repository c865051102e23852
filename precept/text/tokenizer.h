#pragma once
// Byte-level byte-pair encoding, as tokenizer.json of Hugging Face `tokenizers` describes it
// (model BPE, pre-tokenizer and decoder ByteLevel with GPT-2's pattern). Sources: Sennrich et al.
// 2016 (arXiv 1508.07909); Radford et al. 2019 for the byte-level form.
//
// Every byte string encodes and decodes back to itself, valid UTF-8 or not.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"

namespace precept {

// Immutable and cheap to copy (copies share their tables); const use from several threads is safe.
class Tokenizer {
 public:
  static Result<Tokenizer> load(const std::string& path);  // path of a tokenizer.json
  static Result<Tokenizer> parse(std::string_view json, const std::string& file_for_errors);

  // Text of a tokenizer.json that `tokenizers` and parse() read; the same bytes for the same tokenizer.
  std::string to_json() const;

  // Entries of the vocabulary, special tokens included: ids are 0..size()-1.
  int size() const;

  // Special tokens spelled out inside `text` stay text: no input can inject one.
  std::vector<std::int32_t> encode(std::string_view text) const;

  // The bytes of the tokens, one after the other; special tokens and ids out of range are skipped.
  std::string decode(const std::vector<std::int32_t>& ids) const;

  // Bytes of one ordinary token; empty for special tokens and ids out of range.
  const std::string& bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;
  std::optional<std::int32_t> special(std::string_view name) const;
  // Name of a special token; empty for ordinary tokens.
  const std::string& special_name(std::int32_t id) const;

  // SHA-256 of to_json().
  std::string digest() const;

  struct Tables;
  explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}

 private:
  std::shared_ptr<const Tables> tables_;
};

struct BpeOptions {
  int vocab_size = 4096;                    // special tokens, 256 bytes and merges together
  std::vector<std::string> special_tokens;  // get ids 0, 1, ... in this order
};

// Learns merges from texts with their counts (> 0), pre-tokenizing them itself. Deterministic: the most
// frequent pair is merged first, the pair with the lowest ids among equals. The vocabulary
// is smaller than asked for when no pair occurs twice. Needs vocab_size >= 256 + special tokens.
Result<Tokenizer> train_bpe(const std::map<std::string, std::int64_t>& words_or_texts,
                            const BpeOptions& options);

}  // namespace precept
