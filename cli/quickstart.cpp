// precept quickstart: everything once, on the built-in model.

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/lm_library.h"
#include "cli/quickstart_run.h"

namespace precept {
namespace {

void print_line(const char* name, const QuickstartResult& r, Estimate Evaluation::*rate) {
  std::printf("  %-16s %-38s -> %s", name, percent_text(r.base.*rate).c_str(), percent_text(r.sl.*rate).c_str());
  if (r.rl) std::printf(" -> %s", percent_text((*r.rl).*rate).c_str());
  std::printf("\n");
}

Result<int> quickstart(const QuickstartOptions& options, const EventSink& events) {
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const auto result = run_quickstart(**lm, options, events);
  if (!result) return tl::unexpected(result.error());
  std::printf("\nOn %zu held-out prompts, before, after fine-tuning%s (95%% intervals):\n", result->base.outcomes.size(),
              result->rl ? ", and after reinforcement learning" : "");
  print_line("violation rate", *result, &Evaluation::violation_rate);
  print_line("helpfulness", *result, &Evaluation::helpfulness);
  print_line("over-refusal", *result, &Evaluation::over_refusal);
  if (!result->halted.empty()) std::printf("A guard stopped the reinforcement learning at %s.\n", result->halted.c_str());
  std::printf("Aligned model: %s/models/%s\nReport: %s\n", options.out.c_str(), result->rl ? "rl" : "sl", result->report.c_str());
  return 0;
}

}  // namespace

void add_quickstart(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("quickstart", "align the built-in model to a constitution and write the report");
  const auto options = std::make_shared<QuickstartOptions>();
  add_recipe_command(*command, context, "quickstart", options, quickstart);
}

}  // namespace precept
