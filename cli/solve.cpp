// precept solve: programming tasks with tests, samples and strategies, into a run folder.

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/eval_against.h"
#include "cli/open_model.h"
#include "cli/solve_against.h"
#include "precept/core/io.h"
#include "precept/core/quote.h"
#include "precept/evaluate/json.h"
#include "precept/feedback/solve.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

struct SolveCommand {
  CommonOptions common;
  std::string tasks;
  std::string k = "1";
  std::string against;
  SolveOptions solve;
  EndpointOptions endpoint;
};

template <class Visit>
void for_each_field(SolveCommand& o, Visit visit) {
  visit("model", o.common.model, kModelHelp);
  visit("tasks", o.tasks, "programming tasks with tests in HumanEval's shape, JSONL, also gzipped");
  visit("run", o.common.run, kRunHelp, beside());
  visit("k", o.k, "of pass@k and pass^k, several separated by commas; none above --samples (changes no result)", beside());
  visit("against", o.against, "RUN, another run of solve on the same tasks: compare pass@1 with it, task by task and strategy by strategy; without --model what is stored is compared", beside());
  for_each_field(o.solve, visit);
  visit_engine(o.common, visit);
  for_each_field(o.endpoint, visit);
}

using Json = nlohmann::ordered_json;

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

// "1,5,10" as numbers, each once and no more than there are samples.
Result<std::vector<std::int64_t>> read_ks(const std::string& text, int samples) {
  std::vector<std::int64_t> ks;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string part = text.substr(at, end - at);
    if (part.empty() || part.size() > 6 || part.find_first_not_of("0123456789") != std::string::npos || std::stoll(part) < 1) {
      return bad_input("--k is " + in_quotes(text), "numbers from 1 on, separated by commas: --k 1,10");
    }
    if (std::stoll(part) > samples) {
      return bad_input("--k " + part + " needs at least " + part + " samples of each task", "give --samples " + part);
    }
    ks.push_back(std::stoll(part));
    at = end + 1;
  }
  return ks;
}

Json to_json(const SolveSummary& summary) {
  Json out = {{"tasks", summary.tasks}, {"budget", summary.budget}, {"strategies", Json::array()}};
  for (const StrategySummary& one : summary.strategies) {
    Json entry = {{"strategy", strategy_name(one.strategy)}, {"samples", one.samples}, {"passed", one.passed}, {"unscored", one.unscored}};
    for (const auto& [k, estimate] : one.pass_at) entry["pass_at"][std::to_string(k)] = json::estimate(estimate);
    for (const auto& [k, estimate] : one.pass_hat) entry["pass_hat"][std::to_string(k)] = json::estimate(estimate);
    entry["tokens_a_sample"] = json::estimate(one.tokens);
    entry["tries_a_sample"] = json::estimate(one.tries);
    entry["last_tests"] = one.endings;
    entry["tokens"] = json::usage(one.usage);
    if (one.difference) entry["difference"] = json::estimate(*one.difference);
    out["strategies"].push_back(std::move(entry));
  }
  if (!summary.first_failure.empty()) out["first_failure"] = summary.first_failure;
  return out;
}

std::string signed_percent(const Estimate& e) {
  if (!e.value || !e.low || !e.high) return "undefined";
  char text[96];
  std::snprintf(text, sizeof text, "%+.1f points [%+.1f, %+.1f]", 100 * *e.value, 100 * *e.low, 100 * *e.high);
  return text;
}

void print(const SolveSummary& summary) {
  std::printf("%lld tasks, a budget of %llu tokens a sample\n", static_cast<long long>(summary.tasks),
              static_cast<unsigned long long>(summary.budget));
  for (const StrategySummary& one : summary.strategies) {
    std::printf("%s: %lld of %lld samples solved", strategy_name(one.strategy), static_cast<long long>(one.passed),
                static_cast<long long>(one.samples - one.unscored));
    if (one.unscored > 0) std::printf(", %lld unscored", static_cast<long long>(one.unscored));
    std::printf("\n");
    for (const auto& [k, estimate] : one.pass_at) {
      std::printf("  pass@%-4lld %s tasks\n", static_cast<long long>(k), percent_text(estimate).c_str());
      if (k > 1) std::printf("  pass^%-4lld %s tasks\n", static_cast<long long>(k), percent_text(one.pass_hat.at(k)).c_str());
    }
    std::printf("  tokens    %s a sample; tries %s\n", number_text(one.tokens, 0).c_str(), number_text(one.tries, 2).c_str());
    std::printf("  last test");
    for (const auto& [outcome, count] : one.endings) std::printf("  %s %lld", outcome.c_str(), static_cast<long long>(count));
    std::printf("\n");
    if (one.difference) {
      std::printf("  against %s: pass@1 %s, n = %lld tasks\n", strategy_name(summary.strategies[0].strategy),
                  signed_percent(*one.difference).c_str(), static_cast<long long>(one.difference->n));
    }
  }
}

Status write_recipe(SolveCommand given, const std::vector<CodeTask>& tasks, const ModelInfo& model) {
  const std::string comment = "What this run is made of, defaults included. Again: precept solve --recipe FILE --run DIR\ntasks " +
                              digest_of(tasks) + "\nmodel " + model.digest;
  return write_file(given.common.run + "/recipe.toml", recipe_text({"solve", fields_of(given)}, comment));
}

// The comparison, also as a file of the run folder.
Result<Json> store_comparison(const SolveSide& before, const SolveSide& after) {
  if (Status fits = comparable(before, after); !fits) return pass(fits.error());
  Json comparison = solve_comparison_json(before, after);
  if (Status status = write_file(after.run + "/solve-against.json", json::dump(comparison) + "\n"); !status) return pass(status.error());
  return comparison;
}

Result<int> compare_stored(SolveCommand command) {
  SolveCommand defaults;
  if (Status alone = check_stored_only(fields_of(command), fields_of(defaults), "give --model and --tasks to solve, or only --run and --against to compare what is stored");
      !alone) {
    return pass(alone.error());
  }
  const auto after = load_solve(command.common.run), before = load_solve(command.against);
  if (!after) return pass(after.error());
  if (!before) return pass(before.error());
  const auto comparison = store_comparison(*before, *after);
  if (!comparison) return pass(comparison.error());
  if (command.common.json) {
    std::printf("%s\n", json::dump({{"comparison", *comparison}}).c_str());
  } else {
    std::fputs(solve_comparison_text(*before, *after).c_str(), stdout);
  }
  return 0;
}

Result<int> run_solve(const SolveCommand& command, const EventSink& events) {
  const CommonOptions& common = command.common;
  if (!command.against.empty() && common.run.empty()) return bad_input("--against compares a run, and no run folder is given", "give --run DIR");
  if (!command.against.empty() && common.model.empty()) return compare_stored(command);
  if (common.model.empty()) return bad_input("no model is given", "give --model, for example --model http://localhost:8000/v1#name");
  if (command.tasks.empty()) return bad_input("no tasks are given", "give --tasks FILE");
  if (common.run.empty()) return bad_input("no run folder is given", "give --run DIR");
  const auto ks = read_ks(command.k, command.solve.samples);
  if (!ks) return pass(ks.error());
  const auto tasks = load_code_tasks(command.tasks);
  if (!tasks) return pass(tasks.error());
  const auto items = solve_items(command.solve, *tasks);
  if (!items) return pass(items.error());
  std::optional<SolveSide> before;
  if (!command.against.empty()) {
    auto other = load_solve(command.against);
    if (!other) return pass(other.error());
    // Before the work, not after it.
    if (Status fits = comparable(*other, planned_solve(common.run, solve_recipe(command.solve, *tasks, {}), *tasks)); !fits) return pass(fits.error());
    before = std::move(*other);
  }
  // Before the model: without walls nothing is asked for that could not be run.
  SandboxOptions walls;
  walls.parallel = command.solve.sandboxes;
  auto sandbox = Sandbox::open(walls);
  if (!sandbox) return pass(sandbox.error());

  OpenOptions open;
  open.engine = engine_options(common);
  open.endpoint = command.endpoint;
  open.events = events;
  auto meter = open_meter(command.endpoint, {common.model}, common.run, events);
  if (!meter) return pass(meter.error());
  open.meter = *meter;
  auto model = open_model(common.model, open);
  if (!model) return pass(model.error());

  auto store = RunStore::open(common.run, solve_recipe(command.solve, *tasks, (*model)->info()));
  if (!store) return pass(store.error());
  if (Status status = store->set_items(*items); !status) return pass(status.error());
  if (Status status = write_recipe(command, *tasks, (*model)->info()); !status) return pass(status.error());
  const auto result = solve(*tasks, command.solve, **model, *sandbox, *store, events);
  if (!result) return pass(result.error());
  const auto summary = summarize_solve(*store, command.solve, *tasks, *ks);
  if (!summary) return pass(summary.error());
  Json out = to_json(*summary);
  if (Status status = write_file(common.run + "/solve.json", json::dump(out) + "\n"); !status) return pass(status.error());
  std::string compared;
  if (before) {
    const auto after = load_solve(common.run);
    if (!after) return pass(after.error());
    auto comparison = store_comparison(*before, *after);
    if (!comparison) return pass(comparison.error());
    out["comparison"] = std::move(*comparison);
    compared = solve_comparison_text(*before, *after);
  }
  if (common.json) {
    std::printf("%s\n", json::dump(out).c_str());
  } else {
    print(*summary);
    std::fputs(compared.c_str(), stdout);
  }
  if (result->failed > 0) {
    return failed(std::to_string(result->failed) + " samples failed and count as unscored; the first: " + result->first_failure,
                  "run the same command again: only these are tried again");
  }
  return 0;
}

}  // namespace

void add_solve(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("solve", "programming tasks with tests: pass@k, pass^k, and strategies at equal budget");
  const auto options = std::make_shared<SolveCommand>();
  add_recipe_command(*command, context, "solve", options, run_solve);
  repeat_headers(*command);
  add_json_option(*command, options->common);
}

}  // namespace precept
