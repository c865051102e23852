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
#include "cli/dry_run.h"
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
  EndpointOptions endpoint;
  bool dry_run = false, restart = false;  // what to do, not what the run is: no part of the recipe
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
  visit_engine(o.common, visit);
  for_each_field(o.endpoint, visit);
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
  if (!familiarity) {
    std::printf("prompts: whether the model knows such text is not measured, for no model here gives log-probs of whole texts\n");
  } else if (!familiarity->text.bits_per_byte) {
    std::printf("prompts: whether the model knows such text is not measured, for none of these could be scored\n");
  } else {
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
  std::printf("%lld item%s\n", static_cast<long long>(summary.items), summary.items == 1 ? "" : "s");
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

void print_spent(const Meter& meter) {
  const Usage& spent = meter.spent();
  std::printf("spent at endpoints in this folder: %lld prompt tokens, %lld output tokens", static_cast<long long>(spent.prompt_tokens),
              static_cast<long long>(spent.output_tokens));
  if (const double cost = meter.cost(spent); cost > 0) std::printf(", cost %.4f", cost);
  std::printf("\n");
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

Result<int> conclude(const RunStore& store, const ReviseCommand& command, const Meter* meter) {
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
    Json out = to_json(*summary, familiarity);
    if (meter != nullptr) {
      out["spent"] = to_json(meter->spent());
      if (meter->cost(meter->spent()) > 0) out["spent"]["cost"] = meter->cost(meter->spent());
    }
    std::printf("%s\n", json::dump(out).c_str());
  } else {
    print(*summary, familiarity, run);
    if (meter != nullptr) print_spent(*meter);
  }
  if (summary->failed > 0) {
    return failed(std::to_string(summary->failed) + " of " + std::to_string(summary->items) +
                      " items failed; the first: " + summary->first_failure,
                  "run the same command again: only these are tried again");
  }
  return 0;
}

// The models of a run; their meter where any of them is an endpoint.
struct RunModels {
  std::shared_ptr<Meter> meter;
  std::unique_ptr<Model> policy, other;

  Model& judge() const { return other ? *other : *policy; }
};

Result<RunModels> open_models(const ReviseCommand& command, bool apart, const EventSink& events) {
  const CommonOptions& common = command.common;
  RunModels models;
  auto meter = open_meter(command.endpoint, {common.model, apart ? common.judge : ""}, common.run, events);
  if (!meter) return pass(meter.error());
  models.meter = std::move(*meter);
  OpenOptions open;
  open.engine = engine_options(common);
  open.endpoint = command.endpoint;
  open.meter = models.meter;
  open.events = events;
  const bool judges = command.revise.selection != "random" || !command.revise.revise_compliant;
  open.scores = judges && !apart;
  auto policy = open_model(common.model, open);
  if (!policy) return pass(policy.error());
  models.policy = std::move(*policy);
  if (apart) {
    open.scores = judges;
    auto other = open_model(common.judge, open);
    if (!other) return pass(other.error());
    models.other = std::move(*other);
  }
  const ModelInfo& judge = models.judge().info();
  if (events && judges && !judge.endpoints.empty()) {
    Event event;
    event.kind = Event::Kind::kNote;
    event.stage = "revise";
    event.text = judge.can_score ? "the judge's endpoint gives log-probs: verdicts are probabilities of yes and no"
                                 : "the judge's endpoint gives no log-probs: verdicts are read from its text";
    events(event);
  }
  return models;
}

Result<int> run_revise(ReviseCommand command, const EventSink& events) {
  const ReviseCommand given = command;
  CommonOptions& common = command.common;
  if (common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  if (common.prompts.empty()) return bad_input("no prompts are given", "give --prompts FILE");
  if (common.run.empty() && !command.dry_run) return bad_input("no run folder is given", "give --run DIR");
  if (common.constitution.empty()) common.constitution = data_path("constitutions/default.toml");
  const auto constitution = load_constitution(common.constitution);
  if (!constitution) return pass(constitution.error());
  if (const auto templates = resolve_templates(*constitution); !templates) return pass(templates.error());
  auto prompts = command.hh_rlhf ? load_hh_rlhf(common.prompts) : load_prompts(common.prompts);
  if (!prompts) return pass(prompts.error());
  const bool apart = !common.judge.empty() && common.judge != common.model;
  if (command.dry_run) {
    const DryRun dry{common.model, apart ? common.judge : "", command.endpoint, common.json};
    return dry_run(dry, *constitution, command.revise, items_of(std::move(*prompts)));
  }

  auto models = open_models(command, apart, events);
  if (!models) return pass(models.error());
  const auto& policy = models->policy;
  Model& judge = models->judge();

  const std::string recipe = revise_recipe(command.revise, *constitution, policy->info(), judge.info());
  auto store = RunStore::open(common.run, recipe, command.restart);
  if (!store) {
    show_difference(common.run, recipe, events);
    return pass(store.error());
  }
  const std::vector<std::string> texts = sample_texts(*prompts);
  const std::size_t count = prompts->size();
  if (Status status = store->set_items(items_of(std::move(*prompts))); !status) return pass(status.error());
  if (command.restart) {
    std::error_code none;
    std::filesystem::remove(common.run + "/familiarity.json", none);  // it is of the prompts that were
  }
  if (Status status = write_recipe(given, *constitution, policy->info(), judge.info()); !status) return pass(status.error());
  if (Status status = keep_constitution(*constitution, common.run); !status) return pass(status.error());
  // The judge's verdicts decide; where it cannot score, the policy at least writes the drafts.
  const bool asks_judge = judge.info().can_score;
  const std::string& asked = asks_judge && apart ? common.judge : common.model;
  Model& model = asks_judge ? judge : *policy;
  if (Status status = keep_familiarity(common.run, model, is_built_in(asked), texts, count, events); !status) {
    return pass(status.error());
  }
  const auto result = revise(*constitution, command.revise, *policy, judge, *store, events);
  if (!result) return pass(result.error());
  return conclude(*store, command, models->meter.get());
}

}  // namespace

void add_revise(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "revise", "the loop: select, draft, judge; critique and revise what violates a principle");
  const auto options = std::make_shared<ReviseCommand>();
  add_recipe_command(*command, context, "revise", options, run_revise);
  repeat_headers(*command);
  command->add_flag("--dry-run", options->dry_run, "say what the run would ask of its models; send and write nothing");
  command->add_flag("--restart", options->restart,
                    "forget the run that is in the folder and begin anew, say with another recipe; answers that endpoints gave there are kept and used");
  add_json_option(*command, options->common);
}

}  // namespace precept
