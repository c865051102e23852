#pragma once
// Keeps what a Markdown parser could take long over, or nest without end, away from it.

#include <optional>
#include <string>
#include <string_view>

namespace precept {

struct Unbounded {
  int line = 0;
  std::string what, hint;
};

// The first line that opens more than 32 containers (quotes, lists) or is indented by more than 256, or
// the first paragraph of more than 16 KiB; nothing when all is well. Files over 1 MiB are refused too.
std::optional<Unbounded> find_unbounded(std::string_view text);

// Takes YAML front matter (between two lines of "---" at the top, at most 100 lines) off `text` and
// returns how many lines it had.
int skip_front_matter(std::string_view& text);

}  // namespace precept
