#pragma once
// Several evaluations of one method on the same prompts, one a seed, as one: a method is more than one run of it.
//
// Answers of models of several seeds to one prompt are not independent of each other, so intervals and tests take the prompt as the unit
// (clustered_proportion, sign_flip_p). They speak of new prompts for the models that were trained; how much training differs from seed to
// seed is seen in the runs themselves.

#include <optional>
#include <vector>

#include "precept/core/estimate.h"
#include "precept/evaluate/evaluate.h"

namespace precept {

struct PooledRates {
  Estimate violation_rate, helpfulness, over_refusal;
};
// The evaluations answer the same prompts, whose ids match them.
PooledRates pool(const std::vector<const Evaluation*>& runs);

// One rate of two methods, run by run and prompt by prompt (pairs: scored both times).
struct PooledChange {
  Estimate difference;            // after - before, mean over prompts; of one run Newcombe's interval, else Student's t
  std::optional<double> p;        // sign_flip_p of the prompts' sums; of one run exact McNemar
  std::int64_t better = 0, worse = 0;  // answers
};
struct PooledComparison {
  PooledChange violation_rate, helpfulness, over_refusal;
};
// before[i] and after[i] are of the same seed.
PooledComparison compare_pooled(const std::vector<const Evaluation*>& before, const std::vector<const Evaluation*>& after);

}  // namespace precept
