// What a run of `solve` consists of: its strategies, budget, items and recipe.

#include <algorithm>

#include "precept/constitution/suggest.h"
#include "precept/core/quote.h"
#include "precept/feedback/code/code_test.h"
#include "precept/feedback/solve_item.h"

namespace precept {
namespace {

constexpr Strategy kStrategies[] = {Strategy::kOne, Strategy::kRestart, Strategy::kPersist, Strategy::kSummary};

Result<Strategy> strategy_of(const std::string& name) {
  std::vector<std::string> names = {"all"};
  for (const Strategy strategy : kStrategies) {
    if (name == strategy_name(strategy)) return strategy;
    names.emplace_back(strategy_name(strategy));
  }
  return bad_input("unknown strategy " + in_quotes(name), suggest(name, names));
}

}  // namespace

const char* strategy_name(Strategy strategy) {
  switch (strategy) {
    case Strategy::kOne: return "one";
    case Strategy::kRestart: return "restart";
    case Strategy::kPersist: return "persist";
    case Strategy::kSummary: return "summary";
  }
  return "unknown";
}

Result<std::vector<Strategy>> strategies_of(const SolveOptions& options) {
  std::vector<Strategy> strategies;
  if (options.strategy == "all") strategies.assign(std::begin(kStrategies), std::end(kStrategies));
  for (std::size_t at = 0; at <= options.strategy.size() && options.strategy != "all";) {
    const std::size_t end = std::min(options.strategy.find(',', at), options.strategy.size());
    const auto strategy = strategy_of(options.strategy.substr(at, end - at));
    if (!strategy) return tl::unexpected(strategy.error());
    if (std::find(strategies.begin(), strategies.end(), *strategy) != strategies.end()) {
      return bad_input(std::string("strategy ") + strategy_name(*strategy) + " is given twice", "name each once");
    }
    strategies.push_back(*strategy);
    at = end + 1;
  }
  for (const Strategy strategy : strategies) {
    if (options.completion && (strategy == Strategy::kPersist || strategy == Strategy::kSummary)) {
      return bad_input(std::string("strategy ") + strategy_name(strategy) + " is a conversation, and --completion asks for none",
                       "leave --completion out, or use one and restart");
    }
  }
  return strategies;
}

std::uint64_t budget_of(const SolveOptions& options, const std::vector<Strategy>& strategies) {
  if (options.budget > 0) return options.budget;
  const auto tokens = static_cast<std::uint64_t>(options.max_tokens);
  return strategies == std::vector<Strategy>{Strategy::kOne} ? tokens : 4 * tokens;
}

std::string solve_recipe(const SolveOptions& options, const std::vector<CodeTask>& tasks, const ModelInfo& model) {
  std::string recipe = "kind = \"solve\"\n";
  SolveOptions copy = options;
  for (const Field& field : fields_of(copy)) {
    if (field.rule.in_recipe) recipe += field.name + " = " + toml_value(field.value()) + '\n';
  }
  recipe += "tasks = " + toml_value(digest_of(tasks)) + '\n';
  recipe += "wording = " + toml_value(solve_wording_digest()) + '\n';
  recipe += "runner = " + toml_value(code_runner_digest()) + '\n';
  recipe += "model = " + toml_value(model.digest) + '\n';
  return recipe;
}

Result<std::vector<RunItem>> solve_items(const SolveOptions& options, const std::vector<CodeTask>& tasks) {
  const auto strategies = strategies_of(options);
  if (!strategies) return tl::unexpected(strategies.error());
  std::vector<RunItem> items;
  for (const Strategy strategy : *strategies) {
    for (const CodeTask& task : tasks) {
      for (int sample = 0; sample < options.samples; ++sample) {
        RunItem item;
        item.ordinal = static_cast<std::int64_t>(items.size());
        item.id = std::string(strategy_name(strategy)) + ' ' + task.id + " #" + std::to_string(sample + 1);
        item.messages = first_request(options, task).messages;
        item.tags = {strategy_name(strategy), task.id};
        items.push_back(std::move(item));
      }
    }
  }
  return items;
}

}  // namespace precept
