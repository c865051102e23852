#pragma once
// Documents about a constitution, in the words of the pocket world: what midtraining reads before any answer is learnt. Prose about
// the assistant in the third person, never a conversation: rules with their reasons, and cases with the rule that mattered and what
// the assistant then said. The replies that they tell are the world's own good ones, and the oracle has confirmed each.

#include <cstdint>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/core/result.h"

namespace precept::pocket {

// `count` documents; a pure function of the arguments, with values of the training part alone. kBadInput where the world knows none
// of the constitution's principles.
Result<std::vector<std::string>> charter_documents(const Constitution& constitution, int count, std::uint64_t seed);

}  // namespace precept::pocket
