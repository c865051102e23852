// From a store to pass@k, pass^k and the comparison of strategies.

#include <algorithm>
#include <utility>

#include "precept/core/estimate.h"
#include "precept/feedback/solve_item.h"

namespace precept {
namespace {

// The last test of a finished sample; nullopt: it is unscored.
Result<std::optional<TestResult>> last_test(const RunItem& item, const std::vector<StepRecord>& steps) {
  std::optional<TestResult> last;
  for (const StepRecord& step : steps) {
    if (step.kind != StepKind::kJudge) continue;
    auto test = read_test(step);
    if (!test) return tl::unexpected(test.error());
    last = std::move(*test);
  }
  const bool finished = item.ending == Ending::kComplied || item.ending == Ending::kRevised || item.ending == Ending::kUnsettled;
  return finished ? last : std::nullopt;
}

void add(TaskTally& tally, bool passed) {
  ++tally.samples;
  tally.passed += passed;
}

// What one sample adds to its strategy; an Error for a damaged step.
struct Counted {
  StrategySummary& of;
  std::vector<std::vector<double>>& tokens;  // by task: of each finished sample
  std::vector<std::vector<double>>& tries;
};

Status count(const RunItem& item, const std::vector<StepRecord>& steps, std::size_t task, const Counted& into) {
  TokenCount tokens;
  std::int64_t tries = 0;
  for (const StepRecord& step : steps) {
    into.of.usage += step.usage;
    if (step.kind == StepKind::kJudge) continue;
    tokens.add(step.usage);
    tries += step.kind != StepKind::kCritique;
  }
  const auto test = last_test(item, steps);
  if (!test) return tl::unexpected(test.error());
  ++into.of.samples;
  if (!*test) {
    ++into.of.unscored;
    return {};
  }
  add(into.of.tasks[task], (*test)->passed);
  into.of.passed += (*test)->passed;
  ++into.of.endings[(*test)->outcome];
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

// The place of `name`, which is put at the end where it is new.
std::size_t place_of(std::vector<std::string>& names, const std::string& name) {
  const auto at = std::find(names.rbegin(), names.rend(), name);  // items come in order: mostly it is the last one
  if (at != names.rend()) return static_cast<std::size_t>(names.rend() - at) - 1;
  names.push_back(name);
  return names.size() - 1;
}

}  // namespace

Result<SolveTallies> tally_solve(const RunStore& store) {
  SolveTallies out;
  std::map<std::string, std::size_t> places;  // of tasks
  Status damaged;
  const Status visited = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    if (item.tags.size() != 2) {
      damaged = bad_input("damaged run database: a sample without strategy and task", "restore the file from a copy, or give another run folder");
      return false;
    }
    const auto test = last_test(item, steps);
    if (!test) damaged = tl::unexpected(test.error());
    if (!test) return false;
    const std::size_t strategy = place_of(out.strategies, item.tags[0]);
    const auto [place, first] = places.try_emplace(item.tags[1], out.tasks.size());
    if (first) out.tasks.push_back(item.tags[1]);
    out.tallies.resize(out.strategies.size());
    auto& tallies = out.tallies[strategy];
    tallies.resize(std::max(tallies.size(), place->second + 1));
    if (*test) add(tallies[place->second], (*test)->passed);
    else ++out.unscored;
    return true;
  });
  if (!visited) return tl::unexpected(visited.error());
  if (!damaged) return tl::unexpected(damaged.error());
  for (auto& tallies : out.tallies) tallies.resize(out.tasks.size());
  return out;
}

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
