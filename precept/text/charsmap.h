#pragma once
// SentencePiece's precompiled character map (`precompiled_charsmap`): a double-array trie of strings to be replaced, and the
// strings that replace them. Format: size of the trie in bytes (uint32, little endian), the trie's units (uint32 each, as
// Darts writes them), then the replacements, each ended by a zero byte.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/text/aligned.h"

namespace precept {

// Immutable; const use from several threads is safe.
class Charsmap {
 public:
  static Result<Charsmap> parse(std::string_view bytes, const std::string& file_for_errors);
  static Result<Charsmap> from_base64(std::string_view base64, const std::string& file_for_errors);

  // Replaces, from left to right, the longest string of the map at each place. What lies in `kept`, in order and apart, stays.
  void apply(Aligned& text, const std::vector<TextSpan>& kept = {}) const;
  std::string to_base64() const;
  std::size_t longest_replacement() const;  // in bytes, at least 1

 private:
  // Length of the longest key at the beginning of `text`, 0: none; and its replacement.
  std::size_t longest(std::string_view text, std::string_view& replacement) const;
  std::vector<std::uint32_t> units_;
  std::string strings_;
};

}  // namespace precept
