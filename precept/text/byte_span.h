#pragma once

#include <cstddef>

namespace precept {

// Bytes [begin, end) of some text.
struct TextSpan {
  std::size_t begin = 0, end = 0;
  bool operator==(const TextSpan& other) const { return begin == other.begin && end == other.end; }
};

}  // namespace precept
