// precept compare: rival methods on the same footing.

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/compare_report.h"
#include "cli/lm_library.h"
#include "cli/method.h"

namespace precept {
namespace {

struct CompareCommand {
  CompareOptions options;
  std::vector<std::string> recipes;
  bool json = false;
};

Result<int> compare_methods(CompareCommand& command, const EventSink& events) {
  if (const Status fine = check_fields(fields_of(command.options), true); !fine) return tl::unexpected(fine.error());
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const auto result = run_compare(**lm, command.options, command.recipes, events);
  if (!result) return tl::unexpected(result.error());
  if (command.json) {
    std::fputs(comparison_summary(*result, command.options).c_str(), stdout);
  } else {
    std::fputs(comparison_table(*result, command.options).c_str(), stdout);
    std::printf("Report: %s\n", result->report.c_str());
  }
  return 0;
}

}  // namespace

void add_compare(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("compare", "rival methods, each a recipe, with the same data, seeds and budget: one table and one report");
  const auto own = std::make_shared<CompareCommand>();
  command->add_option("RECIPE", own->recipes, "methods, each a recipe with a table [method]; the others are compared with the first")->required();
  add_fields(*command, own->options);
  command->add_flag("--json", own->json, "for machines: JSON on stdout");
  // Tables that only methods have are known to every command that checks a recipe.
  const auto method = std::make_shared<Method>();
  for (RecipeSection& section : method_sections(*method)) context.sections.push_back(std::move(section));
  command->callback([&context, own, method] {
    context.action = [&context, own, method] { return compare_methods(*own, context.events); };
  });
}

}  // namespace precept
