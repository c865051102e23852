#pragma once
// Decoders of a tokenizer.json: from tokens to text, one token at a time. Internal to text/.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/pattern.h"

namespace precept {

// Immutable; const use from several threads is safe.
class DecodeChain {
 public:
  // null: tokens with spaces between them.
  static Result<DecodeChain> parse(const nlohmann::json& part, const std::string& file_for_errors);

  // Just the tokens, whose bytes are spelled in the byte-level alphabet.
  bool byte_level() const { return steps_.size() == 1 && steps_[0].kind == Kind::kByteLevel; }

 private:
  friend class DecodeStream;
  enum class Kind { kJoin, kByteLevel, kReplace, kReplaceRegex, kByteFallback, kFuse, kStrip, kMetaspace };
  struct Step {
    Kind kind = Kind::kJoin;
    std::string find;     // kReplace, kStrip, kMetaspace
    std::string content;  // kReplace*
    Pattern pattern;      // kReplaceRegex
    std::size_t start = 0, stop = 0;  // kStrip
    bool strip_first = true;          // kMetaspace
  };
  Status add(const nlohmann::json& part, const std::string& file, int depth);
  Status read_step(class PartReader& part, const std::string& file, Step& step) const;
  bool fused() const;
  std::vector<Step> steps_;
  std::size_t growth_ = 1;  // how many bytes one may become, at most
};

// Decodes tokens as they come. What comes out, joined, does not depend on when it is taken; broken UTF-8 stays as it is (the
// reference would give U+FFFD for all bytes of a run of byte tokens when some of them are broken).
class DecodeStream {
 public:
  // The chain must outlive the stream.
  explicit DecodeStream(const DecodeChain& chain);

  void feed(std::string_view token, std::string& out) { feed(0, token, true, out); }
  void finish(std::string& out);

 private:
  struct State {
    std::string held;
    std::size_t items = 0;  // that have ended
    std::size_t left = 0;   // kStrip: how many may still be cut from the beginning
    bool inside = false;    // within an item, or a run of byte tokens
  };
  void feed(std::size_t step, std::string_view part, bool ends, std::string& out);
  void replace(std::size_t step, const std::string& find, std::string_view content, bool ends, std::string& out);
  void strip(std::size_t step, bool ends, std::string& out);
  void byte_fallback(std::size_t step, std::string& out);

  const DecodeChain* chain_;
  std::vector<State> states_;
};

}  // namespace precept
