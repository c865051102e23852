#include "precept/text/split.h"

#include "precept/core/io.h"
#include "precept/text/fast_split.h"

namespace precept {

std::vector<std::string_view> Splitter::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  pieces.reserve(text.size() / 4 + 1);
  std::size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    const std::string_view valid = rest.substr(0, find_invalid_utf8(rest).value_or(rest.size()));
    for (std::size_t begin = 0; begin < valid.size();) {
      const std::size_t end = gpt2_piece_end(valid, begin);
      pieces.push_back(valid.substr(begin, end - begin));
      begin = end;
    }
    at += valid.size();
    std::size_t end = at;
    while (end < text.size() && find_invalid_utf8(text.substr(end, 4)) == std::size_t{0}) ++end;
    if (end > at) pieces.push_back(text.substr(at, end - at));
    at = end;
  }
  return pieces;
}

}  // namespace precept
