// precept align: rounds of labels, reward model and reinforcement learning, with a panel between them.

#include <cstdio>
#include <memory>

#include "cli/align_run.h"
#include "cli/command.h"
#include "cli/lm_library.h"

namespace precept {
namespace {

Result<int> align(const AlignOptions& options, const EventSink& events) {
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const auto result = run_align(**lm, options, events);
  if (!result) return tl::unexpected(result.error());
  for (const RoundResult& round : result->rounds) {
    std::printf("round %d: %s, since %s\n  violation rate %s, helpfulness %s, over-refusal %s\n", round.round, decision_name(round.decision),
                round.why.c_str(), percent_text(round.violation_rate).c_str(), percent_text(round.helpfulness).c_str(),
                percent_text(round.over_refusal).c_str());
  }
  std::printf("Aligned model: %s\n", result->model.c_str());
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
