#include "precept/text/unigram.h"

#include <algorithm>

#include "precept/text/unicode.h"

namespace precept {

Unigram::Unigram(std::vector<Entry> entries, double unknown, bool as_float)
    : entries_(std::move(entries)), unknown_(unknown), as_float_(as_float) {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  first_.assign(257, 0);
  for (const Entry& entry : entries_) ++first_[static_cast<unsigned char>(entry.text[0]) + 1U];
  for (std::size_t b = 0; b < 256; ++b) first_[b + 1] += first_[b];
}

template <class Score>
std::vector<BpeSymbol> Unigram::segment_as(std::string_view text) const {
  struct End {
    Score score = 0;
    std::int32_t id = -1;
    std::uint32_t length = 0;  // of the piece that ends here; 0: none does
  };
  std::vector<End> ends(text.size() + 1);
  const auto offer = [&](std::size_t at, std::size_t length, double score, std::int32_t id) {
    const Score sum = static_cast<Score>(ends[at].score + static_cast<Score>(score));
    End& end = ends[at + length];
    if (end.length == 0 || sum > end.score) end = {sum, id, static_cast<std::uint32_t>(length)};
  };
  for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
    const std::size_t one = utf8_length(text[at]);
    bool alone = false;
    const auto byte = static_cast<unsigned char>(text[at]);
    auto low = entries_.begin() + first_[byte], high = entries_.begin() + first_[byte + 1U];
    for (std::size_t length = 1; low != high; ++length) {
      // Between low and high: entries that begin with these `length` bytes; the shortest comes first.
      if (low->text.size() == length) {
        offer(at, length, low->score, low->id);
        alone = alone || length == one;
        ++low;
      }
      if (at + length >= text.size()) break;
      const auto next = static_cast<unsigned char>(text[at + length]);
      const auto key = [&](const Entry& entry) { return static_cast<unsigned char>(entry.text[length]); };
      low = std::partition_point(low, high, [&](const Entry& entry) { return key(entry) < next; });
      high = std::partition_point(low, high, [&](const Entry& entry) { return key(entry) <= next; });
    }
    if (!alone) offer(at, one, unknown_, kUnknownSymbol);
  }
  std::vector<BpeSymbol> out;
  for (std::size_t at = text.size(); at > 0; at -= ends[at].length) out.push_back({ends[at].id, ends[at].length});
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<BpeSymbol> Unigram::segment(std::string_view text) const {
  if (entries_.empty()) return {};
  return as_float_ ? segment_as<float>(text) : segment_as<double>(text);
}

}  // namespace precept
