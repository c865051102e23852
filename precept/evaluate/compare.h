#pragma once
// Two evaluations of the same prompts, item by item: who did what where the other did not, and whether that
// is chance.

#include <optional>
#include <string>
#include <vector>

#include "precept/core/estimate.h"
#include "precept/core/result.h"
#include "precept/evaluate/evaluate.h"

namespace precept {

inline constexpr double kTestLevel = 0.05;  // of all tests, two-sided

// One yes/no rate, before and after on the same prompts (pairs: scored both times).
struct PairedRate {
  std::string id;  // principle, or "violation_rate", "helpfulness", "over_refusal"
  bool more_is_better = false;
  PairedCounts counts;
  Estimate difference;           // after - before
  std::optional<double> p;       // exact McNemar
  std::optional<double> p_holm;  // adjusted over the principles; for the three overall rates, over those
};
struct Comparison {
  PairedRate violation_rate, helpfulness, over_refusal;
  std::vector<PairedRate> per_principle;
};

// Prompts are matched by id; those only one side has are counted as unscored of the difference. A principle
// that neither applies to a prompt nor is violated by one answer counts as kept where the other side's answer
// has a verdict.
Comparison compare(const Evaluation& before, const Evaluation& after);

// "better", "worse", "no clear difference" or "undefined": what a test with this p says about `after` at 5%, two-sided.
// "no clear difference" is no proof of equality: these pairs cannot tell the two apart, and the interval of the
// difference says how far apart they could be.
const char* standing(const PairedRate& rate, std::optional<double> p);
// By what a comparison reports for each: the overall rates answer one question each (p), the principles many
// (p_holm).
const char* overall_standing(const PairedRate& rate);
const char* principle_standing(const PairedRate& rate);

// Refuses two evaluations that say nothing about each other: other prompts, another scorer or another
// constitution, or files that do not tell. The names, of files or the like, are for the error.
Status comparable(const Evaluation& before, const std::string& before_name, const Evaluation& after,
                  const std::string& after_name);

// What else differs between the two besides the model: "temperature: 1.0 before, 0.0 after".
std::vector<std::string> differing_settings(const Evaluation& before, const Evaluation& after);

// compare-LABEL.json; docs/formats.md lists its keys.
std::string comparison_json(const Evaluation& before, const std::string& before_name, const Evaluation& after,
                            const std::string& after_name);

}  // namespace precept
