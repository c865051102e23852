#pragma once
// "Did you mean ...": the nearest of a few known words.

#include <string>
#include <string_view>
#include <vector>

namespace precept {

// The known word nearest to `word` by edit distance (case ignored), if it is near enough to be a slip
// of the pen; empty otherwise.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

// `did you mean "x"?` or `known: a, b, c`; for Error::hint and Finding::hint.
std::string suggest(std::string_view word, const std::vector<std::string>& known);

// At most 60 bytes of foreign text on one line, for use in messages: control characters become spaces.
std::string in_quotes(std::string_view text);

}  // namespace precept
