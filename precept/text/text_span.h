#pragma once
// A part of a text, in bytes.

#include <cstddef>

namespace precept {

struct TextSpan {
  std::size_t begin = 0, end = 0;  // [begin, end)

  bool operator==(const TextSpan&) const = default;
};

}  // namespace precept
