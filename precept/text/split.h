#pragma once
// GPT-2's split of a text into pieces, for training; byte pairs are merged within pieces only.

#include <string_view>
#include <vector>

namespace precept {

class Splitter {
 public:
  // The pieces, joined, are the text. Each run of bytes that are not UTF-8 is a piece of its own.
  // Linear in the length of the text. The pieces point into `text`.
  std::vector<std::string_view> split(std::string_view text) const;
};

}  // namespace precept
