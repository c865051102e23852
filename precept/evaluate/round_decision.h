#pragma once
// Between rounds of training: what a panel that no round trains on says.

#include <string>
#include <vector>

#include "precept/evaluate/compare.h"

namespace precept {

enum class RoundDecision { kGoOn, kStop, kRollBack };
const char* decision_name(RoundDecision decision);  // "go on", "stop", "roll back"

// What people call a rate by its id: "violations", "helpfulness", "over-refusal"; others are called by their ids.
std::string rate_name(const std::string& id);

// Rates on the panel, before and after, by their ids; the first one is what the rounds are for.
using PanelRates = std::vector<PairedRate>;
PanelRates panel_rates(const Comparison& comparison);  // violations, helpfulness, over-refusal

// Roll back when a rate got worse since the round began, or since the first round did (`since_start`, empty in the first: small losses
// add up), by exact paired tests (p < 0.05 after Holm's correction over the rates; `why` tells each p as it is), or when a guard
// stopped the training (`halted` says why; empty: none did); stop when the first rate did not get better; else go on. `why` becomes
// a sentence with all reasons.
RoundDecision decide(const PanelRates& since_round, const PanelRates& since_start, const std::string& halted, std::string& why);

}  // namespace precept
