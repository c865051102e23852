#pragma once
// Normalizers of a tokenizer.json: what happens to a text before it is split. Internal to text/.

#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/added_tokens.h"
#include "precept/text/aligned.h"
#include "precept/text/charsmap.h"
#include "precept/text/pattern.h"

namespace precept {

// Immutable; const use from several threads is safe.
class Normalizer {
 public:
  // null: a normalizer that changes nothing.
  static Result<Normalizer> parse(const nlohmann::json& part, const std::string& file_for_errors);

  bool empty() const { return steps_.empty(); }
  // Surely changes nothing about this text (valid UTF-8): may say false of a text that stays the same.
  bool leaves(std::string_view text) const;
  void apply(Aligned& text) const;

  // Strings that Precompiled leaves as they are: SentencePiece's user-defined pieces.
  void keep(AddedMatcher pieces) { kept_ = std::move(pieces); }

 private:
  enum class Kind { kNfc, kNfd, kNfkc, kNfkd, kLowercase, kStrip, kStripAccents, kPrepend, kReplace, kCharsmap };
  struct Step {
    Kind kind = Kind::kNfc;
    bool left = false, right = false;  // kStrip
    std::string content;               // kPrepend, kReplace
    Pattern pattern;                   // kReplace
    std::shared_ptr<const Charsmap> charsmap;
  };
  Status add(const nlohmann::json& part, const std::string& file, int depth);
  static Status read_step(class PartReader& part, const std::string& file, Step& step);
  void apply(const Step& step, Aligned& text) const;
  std::vector<Step> steps_;
  AddedMatcher kept_;
  std::size_t growth_ = 1;  // how many bytes one may become, at most
};

// {"String": "..."} or {"Regex": "..."}.
Result<Pattern> parse_pattern(const nlohmann::json& pattern, const std::string& file_for_errors);

// Unicode normalization forms with their alignment, see normalize_unicode.cpp.
void to_unicode_form(Aligned& text, bool compatible, bool compose);
bool is_surely_nfc(std::string_view text);

}  // namespace precept
