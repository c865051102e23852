#include "cli/solve_against.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <set>
#include <sstream>
#include <tuple>

#include <fmt/format.h>

#include "cli/eval_against.h"
#include "precept/evaluate/compare.h"
#include "precept/evaluate/json.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

using json::Json;

// The exact test looks at every sum that the signs can make: its time is tasks times the greatest sum.
constexpr double kMostWork = 1e9;

using Lines = std::vector<std::pair<std::string, std::string>>;  // key, value

Lines lines_of(const std::string& recipe) {
  Lines lines;
  std::istringstream in(recipe);
  for (std::string line; std::getline(in, line);) {
    const std::size_t equals = line.find(" = ");
    if (equals != std::string::npos) lines.emplace_back(line.substr(0, equals), line.substr(equals + 3));
  }
  return lines;
}

std::string value_of(const Lines& lines, const std::string& key) {
  for (const auto& [name, value] : lines) {
    if (name != key) continue;
    const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
    return quoted ? value.substr(1, value.size() - 2) : value;
  }
  return {};
}

std::int64_t number_of(const Lines& lines, const std::string& key) { return std::atoll(value_of(lines, key).c_str()); }

SolveSide side_of(const std::string& run, const std::string& recipe) {
  const Lines lines = lines_of(recipe);
  SolveSide side;
  side.run = run;
  side.tasks_digest = value_of(lines, "tasks");
  side.model_digest = value_of(lines, "model");
  SolveOptions options;
  options.strategy = value_of(lines, "strategy");
  options.budget = static_cast<std::uint64_t>(std::max<std::int64_t>(0, number_of(lines, "budget")));
  options.max_tokens = static_cast<int>(number_of(lines, "max_tokens"));
  const auto strategies = strategies_of(options);
  for (const auto& [key, value] : lines) {
    if (key == "kind" || key == "tasks" || key == "model" || key == "strategy") continue;  // compared on their own
    // 0 stands for what the strategies need.
    const std::string effective = key == "budget" && strategies ? std::to_string(budget_of(options, *strategies)) : value;
    side.settings.emplace_back(key, effective);
  }
  if (strategies) {
    for (const Strategy strategy : *strategies) side.tallies.strategies.emplace_back(strategy_name(strategy));
  }
  return side;
}

std::string other_tasks(const SolveSide& before, const SolveSide& after) {
  const std::set<std::string> ids(before.tallies.tasks.begin(), before.tallies.tasks.end());
  std::size_t common = 0;
  for (const std::string& id : after.tallies.tasks) common += ids.count(id);
  const std::size_t was = before.tallies.tasks.size(), is = after.tallies.tasks.size();
  if (common != was || common != is) return fmt::format("{} and {}, {} ids in common", was, is, common);
  if (before.tasks_digest != after.tasks_digest) return "the same ids with other prompts, tests or order";
  return {};
}

std::size_t place(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::vector<std::string> only_in(const std::vector<std::string>& one, const std::vector<std::string>& other) {
  std::vector<std::string> out;
  for (const std::string& name : one) {
    if (place(other, name) == other.size()) out.push_back(name);
  }
  return out;
}

// The exact test of the tasks' differences in pass@1, each in whole parts of 1/unit; nullopt also where that is too much work.
std::optional<double> exact_p(const std::vector<std::pair<TaskTally, TaskTally>>& pairs) {
  std::int64_t unit = 1;
  for (const auto& [before, after] : pairs) {
    unit = std::lcm(unit, std::lcm(before.samples, after.samples));
    if (static_cast<double>(pairs.size()) * static_cast<double>(pairs.size()) * static_cast<double>(unit) > kMostWork) return std::nullopt;
  }
  std::vector<std::int64_t> differences;
  for (const auto& [before, after] : pairs) {
    differences.push_back(after.passed * (unit / after.samples) - before.passed * (unit / before.samples));
  }
  return sign_flip_p(differences);
}

struct ComparedStrategy {
  Estimate before, after;  // pass@1
  PairedRate rate;
};

ComparedStrategy compared(const std::string& strategy, const std::vector<TaskTally>& before, const std::vector<TaskTally>& after) {
  ComparedStrategy out{mean_pass_at_k(before, 1), mean_pass_at_k(after, 1), {}};
  out.rate.id = strategy;
  out.rate.more_is_better = true;
  out.rate.difference = pass_difference(before, after);
  std::vector<std::pair<TaskTally, TaskTally>> pairs;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const TaskTally &b = before[i], &a = after[i];
    if (b.samples == 0 || a.samples == 0) continue;
    pairs.emplace_back(b, a);
    const std::int64_t more = a.passed * b.samples - b.passed * a.samples;  // the sign of the difference
    PairedCounts& counts = out.rate.counts;
    ++(more > 0 ? counts.after_only : more < 0 ? counts.before_only : b.passed > 0 ? counts.both : counts.neither);
  }
  out.rate.p = exact_p(pairs);
  return out;
}

std::vector<ComparedStrategy> compared(const SolveSide& before, const SolveSide& after) {
  std::vector<ComparedStrategy> out;
  const SolveTallies &b = before.tallies, &a = after.tallies;
  for (std::size_t i = 0; i < a.strategies.size(); ++i) {
    const std::size_t j = place(b.strategies, a.strategies[i]);
    if (j < b.strategies.size()) out.push_back(compared(a.strategies[i], b.tallies[j], a.tallies[i]));
  }
  std::vector<std::optional<double>> p;
  for (const ComparedStrategy& each : out) p.push_back(each.rate.p);
  const auto adjusted = holm(p);
  for (std::size_t i = 0; i < out.size(); ++i) out[i].rate.p_holm = adjusted[i];
  return out;
}

std::vector<std::string> differing_settings(const SolveSide& before, const SolveSide& after) {
  std::vector<std::string> out;
  for (const auto& [key, is] : after.settings) {
    const auto same = [&key = key](const auto& line) { return line.first == key; };
    const auto was = std::find_if(before.settings.begin(), before.settings.end(), same);
    const std::string value = was == before.settings.end() ? "none" : was->second;
    if (value == is) continue;
    const bool digest = is.size() == 66 && is.front() == '"';
    out.push_back(digest ? key + ": another one" : fmt::format("{}: {} before, {} after", key, value, is));
  }
  return out;
}

Json side_json(const SolveSide& side) {
  return {{"run", side.run}, {"model_digest", side.model_digest}, {"unscored", side.tallies.unscored}};
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace

Result<SolveSide> load_solve(const std::string& run) {
  auto store = RunStore::open_readonly(run);
  if (!store) return tl::unexpected(store.error());
  if (value_of(lines_of(store->recipe()), "kind") != "solve") {
    return bad_input("this is no run of precept solve", "give the folder that solve was given as --run", run);
  }
  SolveSide side = side_of(run, store->recipe());
  auto tallies = tally_solve(*store);
  if (!tallies) return tl::unexpected(tallies.error());
  side.tallies = std::move(*tallies);
  return side;
}

SolveSide planned_solve(const std::string& run, const std::string& recipe, const std::vector<CodeTask>& tasks) {
  SolveSide side = side_of(run, recipe);
  for (const CodeTask& task : tasks) side.tallies.tasks.push_back(task.id);
  return side;
}

Status comparable(const SolveSide& before, const SolveSide& after) {
  std::error_code ignored;
  if (before.run == after.run || std::filesystem::equivalent(before.run, after.run, ignored)) {
    return bad_input("--against names the run itself", "give another run", before.run);
  }
  if (const std::string what = other_tasks(before, after); !what.empty()) {
    return bad_input("the tasks differ from those of " + after.run + ": " + what, "solve the same --tasks in both", before.run);
  }
  if (only_in(after.tallies.strategies, before.tallies.strategies).size() == after.tallies.strategies.size()) {
    return bad_input("no strategy in common with " + after.run + ": " + joined(before.tallies.strategies) + " and " + joined(after.tallies.strategies),
                     "solve with the same --strategy in both", before.run);
  }
  return {};
}

Json solve_comparison_json(const SolveSide& before, const SolveSide& after) {
  Json out = {{"before", side_json(before)},
              {"after", side_json(after)},
              {"tasks", after.tallies.tasks.size()},
              {"tasks_digest", after.tasks_digest},
              {"differing_settings", differing_settings(before, after)},
              {"only_before", only_in(before.tallies.strategies, after.tallies.strategies)},
              {"only_after", only_in(after.tallies.strategies, before.tallies.strategies)},
              {"level", kTestLevel},
              {"strategies", Json::object()}};
  for (const ComparedStrategy& each : compared(before, after)) {
    Json entry = {{"before", json::estimate(each.before)}, {"after", json::estimate(each.after)}};
    entry.update(json::paired_rate(each.rate, principle_standing(each.rate)));
    out["strategies"][each.rate.id] = std::move(entry);
  }
  return out;
}

std::string solve_comparison_text(const SolveSide& before, const SolveSide& after) {
  std::string out = fmt::format("before: {} (model {})\nafter:  {} (model {})\n{} tasks\n", before.run, before.model_digest.substr(0, 12), after.run,
                                after.model_digest.substr(0, 12), after.tallies.tasks.size());
  for (const std::string& setting : differing_settings(before, after)) out += "warning: other settings, " + setting + "\n";
  for (const SolveSide* side : {&before, &after}) {
    if (side->tallies.unscored > 0) out += fmt::format("warning: {} samples of {} are unscored\n", side->tallies.unscored, side->run);
  }
  for (const auto& [one, other, name] : {std::tuple(&before, &after, "before"), std::tuple(&after, &before, "after")}) {
    const auto only = only_in(one->tallies.strategies, other->tallies.strategies);
    if (!only.empty()) out += fmt::format("only {}: {}\n", name, joined(only));
  }
  out += paired_top();
  out += paired_head("pass@1 by strategy", "p (Holm)");
  for (const ComparedStrategy& each : compared(before, after)) {
    out += paired_line(each.rate.id, each.before, each.after, each.rate, each.rate.p_holm, principle_standing(each.rate));
  }
  bool several = false;
  for (const SolveSide* side : {&before, &after}) {
    for (const auto& tallies : side->tallies.tallies) {
      several = several || std::any_of(tallies.begin(), tallies.end(), [](const TaskTally& task) { return task.samples > 1; });
    }
  }
  if (!several) return out + kPairedFoot;
  return out + "Pairs are tasks, \"only\" those that are solved more often on that side. p: exact, over all signs of the differences (Fisher); better, "
               "worse or no clear difference at 5%, two-sided.\n";
}

}  // namespace precept
