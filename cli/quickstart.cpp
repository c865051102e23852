// precept quickstart: everything once, on the built-in model.

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/lm_library.h"
#include "cli/quickstart_run.h"

namespace precept {
namespace {

void print_line(const char* name, const Estimate& base, const Estimate& sl) {
  std::printf("  %-16s %-38s -> %s\n", name, percent_text(base).c_str(), percent_text(sl).c_str());
}

Result<int> quickstart(const QuickstartOptions& options, const EventSink& events) {
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const auto result = run_quickstart(**lm, options, events);
  if (!result) return tl::unexpected(result.error());
  std::printf("\nOn %zu held-out prompts, before and after (95%% intervals):\n", result->base.outcomes.size());
  print_line("violation rate", result->base.violation_rate, result->sl.violation_rate);
  print_line("helpfulness", result->base.helpfulness, result->sl.helpfulness);
  print_line("over-refusal", result->base.over_refusal, result->sl.over_refusal);
  std::printf("Aligned model: %s/models/sl\nReport: %s\n", options.out.c_str(), result->report.c_str());
  return 0;
}

}  // namespace

void add_quickstart(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("quickstart", "align the built-in model to a constitution and write the report");
  const auto options = std::make_shared<QuickstartOptions>();
  add_recipe_command(*command, context, "quickstart", options, quickstart);
}

}  // namespace precept
