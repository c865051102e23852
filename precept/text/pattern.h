#pragma once
// What a normalizer or pre-tokenizer looks for: a regular expression as Oniguruma (Ruby syntax) reads it, a string, or a kind
// of character. Runs in PCRE2; what PCRE2 would read otherwise is translated, or refused by name.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"

namespace precept {

struct Match {
  std::size_t begin = 0, end = 0;
  bool matched = false;  // false: what lies between matches
};

// Immutable; const use from several threads is safe.
class Pattern {
 public:
  static Result<Pattern> regex(std::string_view oniguruma, const std::string& file_for_errors);
  static Pattern string(std::string text);  // the empty string is found nowhere
  static Pattern characters(bool (*is)(std::uint32_t));

  // Matches from left to right and what lies between them; together the whole of `text` (valid UTF-8). A regular
  // expression that gives up on a text (its match limit) leaves the rest unmatched.
  std::vector<Match> find_all(std::string_view text) const;

  // How many times longer a text may become when matches are replaced by so many bytes, at most (and at least 1).
  std::size_t growth(std::size_t replacement) const;

 private:
  struct Regex;
  void find_regex(std::string_view text, std::vector<Match>& out) const;
  std::shared_ptr<const Regex> regex_;
  std::string string_;
  bool (*is_)(std::uint32_t) = nullptr;
};

// The same expression for PCRE2 with UTF and UCP; an error names what cannot be translated.
Result<std::string> oniguruma_to_pcre2(std::string_view pattern, const std::string& file_for_errors);

}  // namespace precept
