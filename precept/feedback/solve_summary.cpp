// From a store to pass@k, pass^k and the comparison of strategies.

#include <utility>

#include "precept/core/estimate.h"
#include "precept/feedback/solve_item.h"

namespace precept {
namespace {

// What one sample adds to its strategy; an Error for a damaged step.
struct Counted {
  StrategySummary& of;
  std::vector<std::vector<double>>& tokens;  // by task: of each finished sample
  std::vector<std::vector<double>>& tries;
};

Status count(const RunItem& item, const std::vector<StepRecord>& steps, std::size_t task, const Counted& into) {
  TokenCount tokens;
  std::int64_t tries = 0;
  std::optional<TestResult> last;
  for (const StepRecord& step : steps) {
    into.of.usage += step.usage;
    if (step.kind == StepKind::kJudge) {
      auto test = read_test(step);
      if (!test) return tl::unexpected(test.error());
      last = std::move(*test);
      continue;
    }
    tokens.add(step.usage);
    tries += step.kind != StepKind::kCritique;
  }
  ++into.of.samples;
  const bool finished = item.ending == Ending::kComplied || item.ending == Ending::kRevised || item.ending == Ending::kUnsettled;
  if (!finished || !last) {
    ++into.of.unscored;
    return {};
  }
  TaskTally& tally = into.of.tasks[task];
  ++tally.samples;
  tally.passed += last->passed;
  into.of.passed += last->passed;
  ++into.of.endings[last->outcome];
  into.tokens[task].push_back(static_cast<double>(tokens.spent()));
  into.tries[task].push_back(static_cast<double>(tries));
  return {};
}

// The task is the unit: the mean over tasks of the mean over their samples.
Estimate mean_over_tasks(const std::vector<std::vector<double>>& by_task) {
  std::vector<double> means;
  std::int64_t unscored = 0;
  for (const std::vector<double>& samples : by_task) {
    if (samples.empty()) {
      ++unscored;
      continue;
    }
    double sum = 0;
    for (const double value : samples) sum += value;
    means.push_back(sum / static_cast<double>(samples.size()));
  }
  return mean(means, unscored);
}

}  // namespace

Result<SolveSummary> summarize_solve(const RunStore& store, const SolveOptions& options, const std::vector<CodeTask>& tasks,
                                     const std::vector<std::int64_t>& ks) {
  const auto strategies = strategies_of(options);
  if (!strategies) return tl::unexpected(strategies.error());
  SolveSummary summary;
  summary.tasks = static_cast<std::int64_t>(tasks.size());
  summary.budget = budget_of(options, *strategies);
  using ByTask = std::vector<std::vector<double>>;
  std::vector<ByTask> tokens(strategies->size(), ByTask(tasks.size())), tries = tokens;
  for (const Strategy strategy : *strategies) {
    StrategySummary one;
    one.strategy = strategy;
    one.tasks.resize(tasks.size());
    summary.strategies.push_back(std::move(one));
  }
  Status damaged;
  const Status visited = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    const SampleOf which = sample_of(item.ordinal, *strategies, tasks.size(), options.samples);
    std::size_t at = 0;
    while ((*strategies)[at] != which.strategy) ++at;
    if (item.ending == Ending::kFailed && summary.first_failure.empty()) summary.first_failure = item.id + ": " + item.reason;
    damaged = count(item, steps, which.task, {summary.strategies[at], tokens[at], tries[at]});
    return damaged.has_value();
  });
  if (!visited) return tl::unexpected(visited.error());
  if (!damaged) return tl::unexpected(damaged.error());
  for (std::size_t at = 0; at < strategies->size(); ++at) {
    StrategySummary& one = summary.strategies[at];
    for (const std::int64_t k : ks) {
      one.pass_at[k] = mean_pass_at_k(one.tasks, k);
      one.pass_hat[k] = mean_pass_hat_k(one.tasks, k);
    }
    one.tokens = mean_over_tasks(tokens[at]);
    one.tries = mean_over_tasks(tries[at]);
    if (at > 0) one.difference = pass_difference(summary.strategies[0].tasks, one.tasks);
  }
  return summary;
}

}  // namespace precept
