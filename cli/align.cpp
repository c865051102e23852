// precept align: rounds of labels, reward model and reinforcement learning, with a panel between them.

#include <cstdio>
#include <memory>

#include "cli/align_run.h"
#include "cli/command.h"
#include "cli/lm_library.h"

namespace precept {
namespace {

void print_rates(const char* when, const NamedRates& rates) {
  std::printf("  %s:", when);
  for (const auto& [name, rate] : rates) std::printf("%s %s %s", name == rates.front().first ? "" : ";", rate_name(name).c_str(), percent_text(rate).c_str());
  std::printf("\n");
}

Result<int> align(const AlignOptions& options, const EventSink& events) {
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const auto result = run_align(**lm, options, events);
  if (!result) return tl::unexpected(result.error());
  print_rates("base", result->base);
  print_rates("before the rounds", result->start);
  for (const RoundResult& round : result->rounds) {
    std::printf("round %d: %s, since %s\n", round.round, decision_name(round.decision), round.why.c_str());
    print_rates("after", round.rates);
    if (round.judge_judges) std::printf("  judged by %s: accuracy %s\n", round.judge.c_str(), percent_text(*round.judge_judges).c_str());
  }
  std::printf("Aligned model: %s (%s)\n", result->model.c_str(), result->digest.substr(0, 12).c_str());
  return !result->rounds.empty() && result->rounds.back().decision == RoundDecision::kRollBack ? 1 : 0;
}

}  // namespace

void add_align(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("align", "rounds: the model learns from feedback by the constitution, and judges the next round");
  const auto options = std::make_shared<AlignOptions>();
  add_recipe_command(*command, context, "align", options, align);
  command->add_option("RECIPE", context.recipe, "the same as --recipe");
}

}  // namespace precept
