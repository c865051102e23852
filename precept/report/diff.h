#pragma once
// What changed between two texts, word by word.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace precept {

struct DiffPart {
  enum class Kind { kSame, kRemoved, kAdded } kind = Kind::kSame;
  std::string text;
};

// Pieces that a reader sees as units: runs of white space, words, single marks and single ideographs. Joined
// they give the text back, byte for byte, valid UTF-8 or not.
std::vector<std::string_view> diff_tokens(std::string_view text);

// The same and removed parts joined give `before`; the same and added ones give `after`. Longest common
// subsequence of tokens, with crumbs (a space, a comma) between two changes counted as changed. Texts of more
// than `max_tokens`, and texts with next to nothing in common, are one removal and one addition.
std::vector<DiffPart> word_diff(std::string_view before, std::string_view after, std::size_t max_tokens = 2000);

}  // namespace precept
