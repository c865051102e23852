#pragma once
// The most probable segmentation of a text into the pieces of a vocabulary (Kudo 2018, arXiv 1804.10959, section 3.2), by
// dynamic programming over where pieces end. Internal to text/.

#include <cstdint>
#include <string_view>
#include <vector>

#include "precept/text/bpe.h"

namespace precept {

class Unigram {
 public:
  struct Entry {
    std::string_view text;  // must outlive this; no two alike
    double score = 0;
    std::int32_t id = 0;
  };
  Unigram() = default;
  // Where no piece fits, one character is unknown at the score `unknown`. `as_float`: sums are rounded to float, as
  // SentencePiece does; else double, as `tokenizers` does.
  Unigram(std::vector<Entry> entries, double unknown, bool as_float);

  // Pieces of `text` (valid UTF-8); unknown characters as kUnknownSymbol, one by one. Time: length of the text times that of
  // the longest piece.
  std::vector<BpeSymbol> segment(std::string_view text) const;

 private:
  template <class Score>
  std::vector<BpeSymbol> segment_as(std::string_view text) const;
  std::vector<Entry> entries_;                // sorted by text
  std::vector<std::uint32_t> first_;          // entries_ that begin with byte b: first_[b] .. first_[b + 1]
  double unknown_ = 0;
  bool as_float_ = false;
};

}  // namespace precept
