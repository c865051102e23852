// precept revise: the loop over a prompts file, into a run folder.

#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "precept/constitution/prompts.h"
#include "precept/constitution/hh_rlhf.h"
#include "precept/core/io.h"
#include "precept/revise/fields.h"
#include "precept/revise/revise.h"
#include "precept/revise/summary.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

struct ReviseCommand {
  CommonOptions common;
  bool hh_rlhf = false;  // --prompts is a file of hh-rlhf pairs
  ReviseOptions revise;
};

using Json = nlohmann::ordered_json;

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

std::string toml_string(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

Json to_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"cached_tokens", usage.cached_tokens},
          {"output_tokens", usage.output_tokens}};
}

Json to_json(const RunSummary& summary) {
  Json json = {{"items", summary.items},
               {"complied_at_once", summary.complied_at_once},
               {"revised", summary.revised},
               {"unsettled", summary.unsettled},
               {"unparseable", summary.unparseable},
               {"failed", summary.failed},
               {"pending", summary.pending},
               {"by_rounds", summary.by_rounds}};
  const double calls = summary.calls_per_item();
  json["calls_per_item"] = std::isfinite(calls) ? Json(calls) : Json(nullptr);
  json["calls"] = summary.calls;
  json["tokens"] = to_json(summary.total_tokens);
  for (const auto& [step, usage] : summary.tokens) json["tokens_by_step"][step] = to_json(usage);
  for (const auto& [id, count] : summary.principles) {
    json["principles"][id] = {{"selected", count.selected},
                              {"judged", count.judged},
                              {"violated_draft", count.violated_draft},
                              {"violated_final", count.violated_final},
                              {"unparseable", count.unparseable}};
  }
  if (!summary.first_failure.empty()) json["first_failure"] = summary.first_failure;
  return json;
}

void print(const RunSummary& summary, const std::string& run) {
  const auto line = [&](const char* what, std::int64_t count) {
    const double share = summary.items > 0 ? 100.0 * static_cast<double>(count) / static_cast<double>(summary.items) : 0;
    std::printf("  %-18s %8lld  %5.1f%%\n", what, static_cast<long long>(count), share);
  };
  std::printf("%lld items\n", static_cast<long long>(summary.items));
  line("complied at once", summary.complied_at_once);
  line("revised", summary.revised);
  line("unsettled", summary.unsettled);
  line("unparseable", summary.unparseable);
  line("failed", summary.failed);
  if (summary.pending > 0) line("pending", summary.pending);
  const double calls = summary.calls_per_item();
  if (std::isfinite(calls)) std::printf("%.2f calls an item:", calls);
  for (const auto& [step, count] : summary.calls) std::printf(" %s %lld", step.c_str(), static_cast<long long>(count));
  const Usage& tokens = summary.total_tokens;
  std::printf("\n%lld prompt tokens (%lld reused), %lld output tokens\n", static_cast<long long>(tokens.prompt_tokens),
              static_cast<long long>(tokens.cached_tokens), static_cast<long long>(tokens.output_tokens));
  std::printf("next: precept export --what sft --run %s\n", run.c_str());
}

// The differing lines one by one; the error that follows names them in one line.
void show_difference(const std::string& run, const std::string& recipe, const EventSink& events) {
  const auto stored = RunStore::open_readonly(run);
  if (!stored || !events) return;
  for (const std::string& line : recipe_difference(stored->recipe(), recipe)) {
    Event event;
    event.kind = Event::Kind::kNote;
    event.text = line;
    events(event);
  }
}

Status write_recipe(const ReviseCommand& command, const std::string& recipe) {
  const CommonOptions& common = command.common;
  std::string text = "# What this run is made of, defaults included.\n";
  text += "model = " + toml_string(common.model) + "\n";
  text += "judge = " + toml_string(common.judge.empty() ? common.model : common.judge) + "\n";
  text += "prompts = " + toml_string(common.prompts) + "\n";
  text += "constitution = " + toml_string(common.constitution) + "\n\n[revise]\n" + recipe;
  return write_file(common.run + "/recipe.toml", text);
}

Result<int> conclude(const RunStore& store, const ReviseCommand& command) {
  const auto summary = summarize(store);
  if (!summary) return pass(summary.error());
  if (command.common.json) {
    std::printf("%s\n", to_json(*summary).dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    print(*summary, command.common.run);
  }
  if (summary->failed > 0) {
    return failed(std::to_string(summary->failed) + " of " + std::to_string(summary->items) +
                      " items failed; the first: " + summary->first_failure,
                  "run the same command again: only these are tried again");
  }
  return 0;
}

Result<int> run_revise(ReviseCommand command, const EventSink& events) {
  CommonOptions& common = command.common;
  if (common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  if (common.prompts.empty()) return bad_input("no prompts are given", "give --prompts FILE");
  if (common.run.empty()) return bad_input("no run folder is given", "give --run DIR");
  if (common.constitution.empty()) common.constitution = data_path("constitutions/default.toml");
  if (Status status = check(command.revise); !status) return pass(status.error());
  const auto constitution = load_constitution(common.constitution);
  if (!constitution) return pass(constitution.error());
  if (const auto templates = resolve_templates(*constitution); !templates) return pass(templates.error());
  auto prompts = command.hh_rlhf ? load_hh_rlhf(common.prompts) : load_prompts(common.prompts);
  if (!prompts) return pass(prompts.error());

  OpenOptions open;
  open.engine.threads = common.threads;
  open.engine.max_batch = common.batch;
  const auto policy = open_model(common.model, open);
  if (!policy) return pass(policy.error());
  Result<std::unique_ptr<Model>> other = std::unique_ptr<Model>();
  if (!common.judge.empty() && common.judge != common.model) {
    other = open_model(common.judge, open);
    if (!other) return pass(other.error());
  }
  Model& judge = *other ? **other : **policy;

  const std::string recipe = revise_recipe(command.revise, *constitution, (*policy)->info(), judge.info());
  auto store = RunStore::open(common.run, recipe);
  if (!store) {
    show_difference(common.run, recipe, events);
    return pass(store.error());
  }
  if (Status status = store->set_items(items_of(std::move(*prompts))); !status) return pass(status.error());
  if (Status status = write_recipe(command, recipe); !status) return pass(status.error());
  const auto result = revise(*constitution, command.revise, **policy, judge, *store, events);
  if (!result) return pass(result.error());
  return conclude(*store, command);
}

}  // namespace

void add_revise(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "revise", "the loop: select, draft, judge; critique and revise what violates a principle");
  const auto options = std::make_shared<ReviseCommand>();
  add_model_option(*command, options->common);
  add_judge_option(*command, options->common);
  add_prompts_option(*command, options->common);
  command->add_flag("--hh-rlhf", options->hh_rlhf, "--prompts is a file of hh-rlhf pairs (JSONL, also gzipped): up to the last human turn");
  add_constitution_option(*command, options->common);
  add_run_option(*command, options->common);
  add_fields(*command, options->revise);
  add_engine_options(*command, options->common);
  add_json_option(*command, options->common);
  command->callback([options, &context] {
    context.action = [options, &context] { return run_revise(*options, context.events); };
  });
}

}  // namespace precept
