#pragma once
// What a Tokenizer consists of. Internal to text/.

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "precept/text/added_tokens.h"
#include "precept/text/bpe.h"
#include "precept/text/decode_chain.h"
#include "precept/text/normalize.h"
#include "precept/text/post_process.h"
#include "precept/text/pretokenize.h"
#include "precept/text/split.h"
#include "precept/text/tokenizer.h"
#include "precept/text/unigram.h"

namespace precept {

struct BpeToken {
  // Byte-level: the bytes. Else the token as the vocabulary spells it. Empty for special tokens.
  std::string bytes;
  std::string special_name;  // special tokens; empty for ordinary ones
  bool added = false;        // ordinary, but listed among the added tokens (spelled as it is)
  bool raw = false;          // byte-level: not spelled in the alphabet; no text becomes it
};

enum class ModelKind {
  kByteBpe,  // symbols are bytes
  kCharBpe,  // symbols are characters
  kUnigram,
};

// Pre-tokenizer and decoder of a tokenizer that we trained.
inline constexpr const char* kByteLevelJson =
    R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true})";

struct Tokenizer::Tables {
  std::vector<BpeToken> tokens;  // by id
  ModelKind kind = ModelKind::kByteBpe;

  // BPE. The rank of a merge is its index, or with `ranks` what stands there (SentencePiece: equal scores, equal ranks).
  std::vector<BpeMerge> merges;
  std::vector<std::uint32_t> ranks;
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
  // SentencePiece: symbols beyond the vocabulary. Characters that are no tokens but merge into some, and user-defined
  // pieces, which merge no further.
  struct Extra {
    std::string text;
    std::int32_t id = -1;  // the token it stands for, -1: none
  };
  std::vector<Extra> extras;  // symbol tokens.size() + i

  // Character BPE and Unigram.
  bool byte_fallback = false, fuse_unk = false;
  bool unigram_float = false;   // SentencePiece adds scores as float
  std::vector<double> scores;   // Unigram; of tokens that take part
  std::vector<std::int32_t> unigram_ids;  // tokens that take part
  std::vector<std::int32_t> user_defined; // SentencePiece's Unigram prefers these

  // Of the file; null JSON texts are empty strings.
  std::string normalizer_json, pre_json, post_json, decoder_json;
  std::vector<AddedToken> added;
  std::optional<std::int32_t> bos, eos, unk, pad;
  bool unk_in_model = false;  // unk is the model's unk_token

  // Derived by index() and pipeline().
  std::map<std::string, std::int32_t, std::less<>> specials;
  std::array<std::int32_t, 256> byte_ids{};  // of single bytes, or of <0x00> ... <0xFF>; -1: none
  PairTable pairs;
  StringTable by_text;            // ordinary tokens by `bytes`
  std::vector<bool> whole;        // pieces that become exactly this token
  std::size_t longest = 0;        // bytes of the longest ordinary token
  StringTable extra_characters;   // extras without an id by text, as their symbol
  AddedMatcher user_pieces;       // extras with an id, found before anything merges; the token's id is the symbol
  bool cuts_at_words = false;     // no merge reaches from a character into the U+2581 after it
  Unigram unigram;
  Splitter splitter;
  Normalizer normalizer;
  PreTokenizer pre;
  PostProcess post;
  DecodeChain decoder;
  AddedMatcher raw_added, normalized_added;
  std::vector<std::string> added_text;  // what the decoder takes for added tokens, by place in `added`; empty: its content
  std::vector<std::int32_t> added_at;   // by id: its place in `added`, -1: none
  std::vector<std::string> shown;       // what bytes() gives, by id; empty as a whole: tokens[i].bytes

  // Reads the four JSON texts; then fills the rest of the derived part. Merges must be consistent and each pair unique, a
  // byte-level vocabulary must hold all 256 bytes: the message says what is wrong.
  Status pipeline(const std::string& file_for_errors);
  Status index(const std::string& file_for_errors);

  // The ids of one piece; `symbols` are appended. Not thread-safe in `scratch` only.
  void encode_piece(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const;
  // As the vocabulary spells it; as the decoder takes it, which differs for added tokens that are found normalized.
  std::string spelled(std::int32_t id) const;
  std::string text_of(std::int32_t id) const;
  bool has(std::int32_t id) const { return id >= 0 && static_cast<std::size_t>(id) < tokens.size(); }

 private:
  void encode_bytes(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const;
  void encode_characters(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const;
  void merge_characters(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const;
  void character_symbols(std::string_view piece, std::vector<BpeSymbol>& symbols) const;
  void put_symbols(std::string_view piece, const std::vector<BpeSymbol>& symbols, std::vector<BpeSymbol>& out) const;
  void encode_unigram(std::string_view piece, std::vector<BpeSymbol>& out) const;
  void put_unknown(std::string_view text, std::vector<BpeSymbol>& out, std::size_t first) const;
  bool spells_bytes(std::string_view text) const;
  Status index_texts(const std::string& file);
  Status index_pairs(const std::string& file);
  void index_extras();
  void index_whole();
  void index_added();
};

}  // namespace precept
