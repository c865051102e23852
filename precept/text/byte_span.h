#pragma once

#include <cstddef>

namespace precept {

// Bytes [begin, end) of some text.
struct ByteSpan {
  std::size_t begin = 0, end = 0;
  bool operator==(const ByteSpan& other) const { return begin == other.begin && end == other.end; }
};

}  // namespace precept
