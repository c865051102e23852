#pragma once
// Tokenizers as models bring them: `tokenizer.json` of Hugging Face `tokenizers`, `vocab.json` with `merges.txt`, SentencePiece's
// `tokenizer.model`, and the vocabulary inside a GGUF file. What would change the ids and is not supported is refused by name;
// docs/formats.md lists what is read. Sources: Sennrich et al. 2016 (arXiv 1508.07909) for byte pairs; Radford et al. 2019 for
// the byte-level form; Kudo 2018 (arXiv 1804.10959) for Unigram.
//
// A byte-level tokenizer without a normalizer gives every byte string back, valid UTF-8 or not. Others read bytes that are not
// UTF-8 as U+FFFD, and give back what their normalizer leaves.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/text/text_span.h"

namespace precept {

struct EncodeOptions {
  // Put what the post-processor adds (<s> and the like) around the text.
  bool add_special_tokens = false;
  // Where special tokens that are spelled out in the text are read as such. `outside`: only where they lie wholly outside of
  // the spans, so that what a user wrote there cannot inject any.
  enum class Specials { nowhere, outside, everywhere };
  Specials specials = Specials::nowhere;
  std::vector<TextSpan> spans;  // for `outside`, in any order
};

// A token and the bytes of the text that it stands for. Where a character takes several tokens each has the whole character;
// tokens that were added have an empty span.
struct TokenAt {
  std::int32_t id = 0;
  std::size_t begin = 0, end = 0;
};

// A vocabulary as a GGUF file holds it (the keys tokenizer.ggml.* in its metadata).
struct VocabularySpec {
  std::string model = "gpt2";  // tokenizer.ggml.model: "llama" (SentencePiece, by score) or "gpt2" (byte-level)
  std::string pre = "default"; // tokenizer.ggml.pre: how the text is split, for "gpt2"
  std::vector<std::string> tokens;
  std::vector<float> scores;              // "llama": one a token
  std::vector<std::int32_t> token_types;  // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty: all normal
  std::vector<std::string> merges;        // "gpt2": "LEFT RIGHT"
  std::optional<std::int32_t> bos_id, eos_id, unk_id, pad_id;
  bool add_bos = false, add_eos = false;
  bool add_space_prefix = true;  // "llama" only
};

// Immutable and cheap to copy (copies share their tables); const use from several threads is safe.
class Tokenizer {
 public:
  static Result<Tokenizer> load(const std::string& path);  // path of a tokenizer.json
  static Result<Tokenizer> parse(std::string_view json, const std::string& file_for_errors);
  // A SentencePiece model (types BPE and Unigram), as its protobuf bytes.
  static Result<Tokenizer> parse_sentencepiece(std::string_view bytes, const std::string& file_for_errors);
  static Result<Tokenizer> from_vocabulary(const VocabularySpec& spec, const std::string& file_for_errors = {});

  // Text of a tokenizer.json that `tokenizers` and parse() read; the same bytes for the same tokenizer. What came from
  // SentencePiece or GGUF is written the way `transformers` converts it: where two pieces have the same score, the order in
  // which they merge may then differ.
  std::string to_json() const;

  // Entries of the vocabulary, special tokens included: ids are 0..size()-1.
  int size() const;

  // Special tokens spelled out inside `text` stay text: no input can inject one. Nothing is added around it. The same holds for
  // other added tokens that look like markup (<think>, [TOOL]); those that are just words are read as the words they are.
  std::vector<std::int32_t> encode(std::string_view text) const;
  std::vector<std::int32_t> encode(std::string_view text, const EncodeOptions& options) const;
  std::vector<TokenAt> encode_with_offsets(std::string_view text, const EncodeOptions& options) const;

  // The text of the tokens, as the tokenizer's decoder makes it; special tokens are skipped unless asked for, ids out of range
  // always. Not always UTF-8: tokens may hold parts of characters (replace_invalid_utf8 in stream.h).
  std::string decode(const std::vector<std::int32_t>& ids, bool with_specials = false) const;

  // What an ordinary token adds to the middle of a text; empty for special tokens and ids out of range.
  const std::string& bytes(std::int32_t id) const;
  bool is_special(std::int32_t id) const;
  std::optional<std::int32_t> special(std::string_view name) const;
  // Name of a special token; empty for ordinary tokens.
  const std::string& special_name(std::int32_t id) const;

  // Any token as the vocabulary spells it; empty for ids out of range.
  std::string token(std::int32_t id) const;
  std::optional<std::int32_t> token_id(std::string_view spelled) const;

  // Where the files name them.
  std::optional<std::int32_t> bos_id() const;
  std::optional<std::int32_t> eos_id() const;
  std::optional<std::int32_t> unk_id() const;
  std::optional<std::int32_t> pad_id() const;

  // SHA-256 of to_json().
  std::string digest() const;

  struct Tables;
  explicit Tokenizer(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
  const Tables& tables() const { return *tables_; }  // internal to text/

 private:
  std::shared_ptr<const Tables> tables_;
};

// The tokenizer of a checkpoint folder: tokenizer.json, else vocab.json with merges.txt, else tokenizer.model; with the names
// of bos, eos, unk and pad from tokenizer_config.json (else special_tokens_map.json).
Result<Tokenizer> load_tokenizer(const std::string& folder);

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
