#pragma once
// Between rounds of training: what a panel that no round trains on says.

#include <string>

#include "precept/evaluate/compare.h"

namespace precept {

enum class RoundDecision { kGoOn, kStop, kRollBack };
const char* decision_name(RoundDecision decision);  // "go on", "stop", "roll back"

// From two evaluations on the panel: roll back when violations, help or over-refusal got worse (p < 0.05, exact paired test) or a
// guard stopped the training (`halted` says why; empty: none did); stop when violations did not become fewer; else go on. `why`
// becomes a sentence.
RoundDecision decide(const Comparison& comparison, const std::string& halted, std::string& why);

}  // namespace precept
