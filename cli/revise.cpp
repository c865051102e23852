// precept revise: the loop over a prompts file, into a run folder.

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/familiarity.h"
#include "cli/keep_constitution.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "cli/run_report.h"
#include "precept/constitution/prompts.h"
#include "precept/constitution/hh_rlhf.h"
#include "precept/core/estimate.h"
#include "precept/core/io.h"
#include "precept/evaluate/familiarity.h"
#include "precept/evaluate/json.h"
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

template <class Visit>
void for_each_field(ReviseCommand& o, Visit visit) {
  visit("model", o.common.model, kModelHelp);
  visit("judge", o.common.judge, kJudgeHelp);
  visit("prompts", o.common.prompts, kPromptsHelp);
  visit("hh_rlhf", o.hh_rlhf, "--prompts is a file of hh-rlhf pairs (JSONL, also gzipped): up to the last human turn");
  visit("constitution", o.common.constitution, kConstitutionHelp);
  visit("run", o.common.run, kRunHelp, beside());
  for_each_field(o.revise, visit);
  visit("threads", o.common.threads, kThreadsHelp, threads_rule());
  visit("batch", o.common.batch, kBatchHelp, batch_rule());
}

using Json = nlohmann::ordered_json;

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

Json to_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"cached_tokens", usage.cached_tokens},
          {"output_tokens", usage.output_tokens}};
}

Json to_json(const RunSummary& summary, const std::optional<Familiarity>& familiarity) {
  Json out = {{"items", summary.items},
              {"complied_at_once", summary.complied_at_once},
              {"revised", summary.revised},
              {"unsettled", summary.unsettled},
              {"unparseable", summary.unparseable},
              {"failed", summary.failed},
              {"pending", summary.pending},
              {"by_rounds", summary.by_rounds}};
  const double calls = summary.calls_per_item();
  out["calls_per_item"] = std::isfinite(calls) ? Json(calls) : Json(nullptr);
  out["calls"] = summary.calls;
  out["tokens"] = to_json(summary.total_tokens);
  for (const auto& [step, usage] : summary.tokens) out["tokens_by_step"][step] = to_json(usage);
  for (const auto& [id, count] : summary.principles) {
    out["principles"][id] = {{"selected", count.selected},
                             {"judged", count.judged},
                             {"violated_draft", count.violated_draft},
                             {"violated_final", count.violated_final},
                             {"unparseable", count.unparseable}};
  }
  for (const auto& [step, count] : summary.verdicts) out["verdicts"][step] = json::verdicts(count);
  out["familiarity"] = familiarity ? json::familiarity(*familiarity) : Json(nullptr);
  if (!summary.first_failure.empty()) out["first_failure"] = summary.first_failure;
  return out;
}

// What the model's own verdicts are worth on these prompts.
void print_worth(const RunSummary& summary, const std::optional<Familiarity>& familiarity) {
  if (familiarity) {
    std::printf("prompts: %s", bits_text(familiarity->text).c_str());
    if (familiarity->own) std::printf(" (unseen text of the model's own world: %s)", bits_text(*familiarity->own).c_str());
    std::printf(", from the last turns of %lld of %lld\n", static_cast<long long>(familiarity->text.texts),
                static_cast<long long>(familiarity->prompts));
  }
  for (const StepKind kind : {StepKind::kSelect, StepKind::kJudge}) {
    const auto found = summary.verdicts.find(step_name(kind));
    if (found == summary.verdicts.end()) continue;
    const VerdictCount& count = found->second;
    const auto share = [](std::int64_t part, std::int64_t whole) {
      return percent(whole > 0 ? std::optional<double>(static_cast<double>(part) / static_cast<double>(whole)) : std::nullopt);
    };
    std::printf("verdicts of %s: %lld, %s unparseable", step_name(kind), static_cast<long long>(count.n),
                share(count.unparseable, count.n).c_str());
    if (count.scored > 0) {
      std::printf(", %s uncertain (probability between %g and %g)", share(count.uncertain, count.scored).c_str(), kUncertainLow,
                  kUncertainHigh);
    }
    std::printf("\n");
  }
  const auto judge = summary.verdicts.find(step_name(StepKind::kJudge));
  const std::string warnings[] = {familiarity ? familiarity_warning(*familiarity) : std::string(),
                                  judge == summary.verdicts.end() ? std::string() : verdict_warning(judge->second)};
  for (const std::string& warning : warnings) {
    if (!warning.empty()) std::printf("warning: %s\n", warning.c_str());
  }
}

void print(const RunSummary& summary, const std::optional<Familiarity>& familiarity, const std::string& run) {
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
  print_worth(summary, familiarity);
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

// The recipe as it was given, and what its names stood for at the time.
Status write_recipe(ReviseCommand given, const Constitution& constitution, const ModelInfo& policy, const ModelInfo& judge) {
  const std::string comment = "What this run is made of, defaults included. Again: precept revise --recipe FILE --run DIR\n"
                              "constitution " + constitution.digest + "\npolicy " + policy.digest + "\njudge " + judge.digest;
  const std::string path = given.common.run + "/recipe.toml", text = recipe_text({"revise", fields_of(given)}, comment);
  // One of the user's, or of a quickstart, stays as it is.
  if (std::filesystem::exists(path)) {
    const auto there = read_file(path);
    if (there && there->rfind(text.substr(0, text.find('\n')), 0) != 0) return {};
  }
  return write_file(path, text);
}

Result<int> conclude(const RunStore& store, const ReviseCommand& command) {
  const auto summary = summarize(store);
  if (!summary) return pass(summary.error());
  const std::string& run = command.common.run;
  std::optional<Familiarity> familiarity;
  if (const std::string path = run + "/familiarity.json"; std::filesystem::exists(path)) {
    auto stored = load_familiarity(path);
    if (!stored) return pass(stored.error());
    familiarity = std::move(*stored);
  }
  if (Status status = write_run_summary(run); !status) return pass(status.error());
  if (command.common.json) {
    std::printf("%s\n", json::dump(to_json(*summary, familiarity)).c_str());
  } else {
    print(*summary, familiarity, run);
  }
  if (summary->failed > 0) {
    return failed(std::to_string(summary->failed) + " of " + std::to_string(summary->items) +
                      " items failed; the first: " + summary->first_failure,
                  "run the same command again: only these are tried again");
  }
  return 0;
}

Result<int> run_revise(ReviseCommand command, const EventSink& events) {
  const ReviseCommand given = command;
  CommonOptions& common = command.common;
  if (common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  if (common.prompts.empty()) return bad_input("no prompts are given", "give --prompts FILE");
  if (common.run.empty()) return bad_input("no run folder is given", "give --run DIR");
  if (common.constitution.empty()) common.constitution = data_path("constitutions/default.toml");
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
  const std::vector<std::string> texts = sample_texts(*prompts);
  const std::size_t count = prompts->size();
  if (Status status = store->set_items(items_of(std::move(*prompts))); !status) return pass(status.error());
  if (Status status = write_recipe(given, *constitution, (*policy)->info(), judge.info()); !status) return pass(status.error());
  if (Status status = keep_constitution(*constitution, common.run); !status) return pass(status.error());
  // The judge's verdicts decide; where it cannot score, the policy at least writes the drafts.
  const bool asks_judge = judge.info().can_score;
  const std::string& asked = asks_judge && *other ? common.judge : common.model;
  Model& model = asks_judge ? judge : **policy;
  if (Status status = keep_familiarity(common.run, model, is_built_in(asked), texts, count, events); !status) {
    return pass(status.error());
  }
  const auto result = revise(*constitution, command.revise, **policy, judge, *store, events);
  if (!result) return pass(result.error());
  return conclude(*store, command);
}

}  // namespace

void add_revise(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "revise", "the loop: select, draft, judge; critique and revise what violates a principle");
  const auto options = std::make_shared<ReviseCommand>();
  add_recipe_command(*command, context, "revise", options, run_revise);
  add_json_option(*command, options->common);
}

}  // namespace precept
