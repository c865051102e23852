#pragma once
// How often a model solves tasks: pass@1, pass@k, pass^k, over tasks with several samples each.

#include <cstdint>
#include <optional>
#include <vector>

#include "precept/core/estimate.h"

namespace precept {

// Of one task with n samples of which c passed; undefined for n < k (and k < 1).
// pass@k: does at least one of k samples pass? Unbiased: 1 - C(n-c, k)/C(n, k) (Chen et al. 2021, arXiv 2107.03374, equation 1).
std::optional<double> pass_at_k(std::int64_t n, std::int64_t c, std::int64_t k);
// pass^k: do all of k samples pass? C(c, k)/C(n, k) (Yao et al. 2024, arXiv 2406.12045, section 3).
std::optional<double> pass_hat_k(std::int64_t n, std::int64_t c, std::int64_t k);

struct TaskTally {
  std::int64_t samples = 0, passed = 0;  // scored samples; of those, passed
};

// The mean over tasks, with an interval for the population that the tasks are taken from. Tasks are independent, samples of
// one task are not: so the unit of the interval is the task. One sample a task (and k = 1): each task is a yes or no, and
// the interval is Clopper-Pearson's. Otherwise it is bounded_mean(): guaranteed as well, somewhat wider. Tasks with fewer
// than k scored samples are unscored.
Estimate mean_pass_at_k(const std::vector<TaskTally>& tasks, std::int64_t k, double level = 0.95);
Estimate mean_pass_hat_k(const std::vector<TaskTally>& tasks, std::int64_t k, double level = 0.95);

// pass@1 of `after` minus pass@1 of `before`, task by task in the same order. One sample of each: paired_difference()
// (Newcombe); otherwise bounded_mean() of the differences. Tasks without a scored sample on either side are unscored.
Estimate pass_difference(const std::vector<TaskTally>& before, const std::vector<TaskTally>& after, double level = 0.95);

}  // namespace precept
