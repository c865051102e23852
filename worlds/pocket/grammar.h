#pragma once
// Phrase patterns: "(a|b) {slot}( c|)" stands for every way to pick one alternative in each pair of
// parentheses and to fill every slot. Small enough to read, large enough for thousands of sentences.

#include <map>
#include <string>
#include <string_view>

#include "precept/core/rng.h"

namespace precept::pocket {

using Slots = std::map<std::string, std::string>;

// One expansion; alternatives may nest. A pattern is ours: an unknown slot or an unbalanced
// parenthesis is a bug and aborts.
std::string expand(std::string_view pattern, const Slots& slots, Rng& rng);

// First letter upper case ("i" has no special role: patterns write "I" themselves).
std::string capitalised(std::string text);

}  // namespace precept::pocket
