#pragma once
// "Did you mean ...": the nearest of a few known words.

#include <string>
#include <string_view>
#include <vector>

#include "precept/core/strict_json.h"  // in_quotes, which goes with every suggestion

namespace precept {

// The known word nearest to `word` by edit distance (case ignored), if it is near enough to be a slip
// of the pen; empty otherwise.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

// `did you mean "x"?` or `known: a, b, c`; for Error::hint and Finding::hint.
std::string suggest(std::string_view word, const std::vector<std::string>& known);

}  // namespace precept
