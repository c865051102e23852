#include "precept/feedback/code/pass_k.h"

#include <algorithm>

#include "precept/core/bounded_mean.h"
#include "precept/core/result.h"

namespace precept {
namespace {

Estimate mean_over_tasks(const std::vector<TaskTally>& tasks, std::int64_t k, double level,
                         std::optional<double> (*of)(std::int64_t, std::int64_t, std::int64_t)) {
  std::vector<double> values;
  std::int64_t unscored = 0, passed = 0;
  bool single = k == 1;
  for (const TaskTally& task : tasks) {
    const std::optional<double> value = of(task.samples, task.passed, k);
    if (!value) {
      ++unscored;
      continue;
    }
    values.push_back(*value);
    passed += task.passed;
    single = single && task.samples == 1;
  }
  if (single) return proportion(passed, static_cast<std::int64_t>(values.size()), unscored, level);
  return bounded_mean(values, unscored, 0, 1, level);
}

}  // namespace

std::optional<double> pass_at_k(std::int64_t n, std::int64_t c, std::int64_t k) {
  PRECEPT_CHECK(c >= 0 && c <= n);
  if (k < 1 || k > n) return std::nullopt;
  if (n - c < k) return 1.0;
  double none = 1;  // C(n-c, k) / C(n, k), without large numbers
  for (std::int64_t i = n - c + 1; i <= n; ++i) none *= 1 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - none;
}

std::optional<double> pass_hat_k(std::int64_t n, std::int64_t c, std::int64_t k) {
  PRECEPT_CHECK(c >= 0 && c <= n);
  if (k < 1 || k > n) return std::nullopt;
  double all = 1;
  for (std::int64_t i = 0; i < k; ++i) all *= static_cast<double>(std::max<std::int64_t>(0, c - i)) / static_cast<double>(n - i);
  return all;
}

Estimate mean_pass_at_k(const std::vector<TaskTally>& tasks, std::int64_t k, double level) {
  return mean_over_tasks(tasks, k, level, pass_at_k);
}

Estimate mean_pass_hat_k(const std::vector<TaskTally>& tasks, std::int64_t k, double level) {
  return mean_over_tasks(tasks, k, level, pass_hat_k);
}

Estimate pass_difference(const std::vector<TaskTally>& before, const std::vector<TaskTally>& after, double level) {
  PRECEPT_CHECK(before.size() == after.size());
  PairedCounts counts;
  std::vector<double> differences;
  std::int64_t unscored = 0;
  bool single = true;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const TaskTally &a = before[i], &b = after[i];
    const auto was = pass_at_k(a.samples, a.passed, 1), is = pass_at_k(b.samples, b.passed, 1);
    if (!was || !is) {
      ++unscored;
      continue;
    }
    differences.push_back(*is - *was);
    single = single && a.samples == 1 && b.samples == 1;
    (a.passed > 0 ? (b.passed > 0 ? counts.both : counts.before_only) : (b.passed > 0 ? counts.after_only : counts.neither)) += 1;
  }
  if (single) return paired_difference(counts, unscored, level);
  return bounded_mean(differences, unscored, -1, 1, level);
}

}  // namespace precept
