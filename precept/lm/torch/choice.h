#pragma once
// What is wanted of a step's logits, on the device: the next token, by the definition of infer/sampler.h, and log-probabilities.
// All that the host wants to know comes back as one array of doubles.

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

#include "precept/lm/torch/step.h"

namespace precept::infer {

// Some of what is wanted, so that few logits are there at once. Offsets are into StepPlan::ints; doubles lie there as bits.
struct ChoicePlan {
  std::size_t from = 0;                             // of Wanted
  int count = 0;
  std::size_t rows = 0;                             // [count]: rows of the step
  std::vector<int> greedy, plain, nucleus;          // which are picked how, from 0
  std::size_t greedy_rows = 0, plain_rows = 0, nucleus_rows = 0;  // the same on the device
  std::size_t plain_draws = 0, nucleus_draws = 0;   // doubles: [n] scales of logits, [n] draws, [n] top_p
  std::size_t lookups = 0;                          // [looked_up] rows, then [looked_up] targets
  int looked_up = 0;

  // Doubles of the answer: `count` flags (finite?), then ids and log-probs of greedy, plain and nucleus, then log-probs of lookups.
  std::size_t answer_size() const { return static_cast<std::size_t>(count) + 2 * picks() + static_cast<std::size_t>(looked_up); }
  std::size_t picks() const { return greedy.size() + plain.size() + nucleus.size(); }
};

// Adds what the device must know to the plan's integers.
std::vector<ChoicePlan> plan_choices(StepPlan& plan, const std::vector<Wanted>& wanted, int at_once);

// logits_WV: of the plan's rows, fp32. `choices`: tokens that may be picked, the first ones.
at::Tensor answer(const ChoicePlan& plan, const at::Tensor& ints, const at::Tensor& logits_WV, std::int64_t choices);

// The answer, on the host, as outcomes of wanted[plan.from ...].
void read_answer(const ChoicePlan& plan, const double* answer, const std::vector<Wanted>& wanted, std::vector<Outcome>& outcomes);

}  // namespace precept::infer
