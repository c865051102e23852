#include "precept/evaluate/round_decision.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace precept {
namespace {

constexpr double kSignificant = 0.05;

}  // namespace

const char* decision_name(RoundDecision decision) {
  switch (decision) {
    case RoundDecision::kGoOn: return "go on";
    case RoundDecision::kStop: return "stop";
    case RoundDecision::kRollBack: return "roll back";
  }
  return "unknown";
}

RoundDecision decide(const Comparison& c, const std::string& halted, std::string& why) {
  if (!halted.empty()) {
    why = "a guard stopped the training at " + halted;
    return RoundDecision::kRollBack;
  }
  for (const auto& [name, rate] : {std::pair{"violations", &c.violation_rate}, {"helpfulness", &c.helpfulness}, {"over-refusal", &c.over_refusal}}) {
    const double better = rate->difference.value.value_or(0) * (rate->more_is_better ? 1 : -1);
    if (better >= 0 || !rate->p || *rate->p >= kSignificant) continue;
    why = fmt::format("on the panel {} got worse by {} points (p = {:.2g})", name, percent_digits(std::abs(better), 1), *rate->p);
    return RoundDecision::kRollBack;
  }
  const double fewer = -c.violation_rate.difference.value.value_or(0);
  if (fewer <= 0) {
    why = "on the panel violations did not become fewer";
    return RoundDecision::kStop;
  }
  why = fmt::format("on the panel violations fell by {} points", percent_digits(fewer, 1));
  return RoundDecision::kGoOn;
}

}  // namespace precept
