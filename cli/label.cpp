// precept label: preference labels by the constitution, of samples, of given pairs, and of a run's revisions.

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/endpoint_options.h"
#include "cli/keep_constitution.h"
#include "cli/label_report.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "cli/pair_set.h"
#include "precept/constitution/pairs.h"
#include "precept/constitution/prompts.h"
#include "precept/core/io.h"

namespace precept {
namespace {

struct LabelCommand {
  CommonOptions common;
  std::string given, revisions, out;
  LabelOptions label;
  EndpointOptions endpoint;
};

template <class Visit>
void for_each_field(LabelCommand& o, Visit visit) {
  visit("model", o.common.model, kModelHelp);
  visit("judge", o.common.judge, kJudgeHelp);
  visit("prompts", o.common.prompts, kPromptsHelp);
  visit("given", o.given, "pairs that are there already (JSONL with prompt, chosen, rejected, or hh-rlhf's): these are labelled, nothing is sampled");
  visit("revisions", o.revisions, "run folder of the loop whose revisions are added as pairs: the final answer over the draft");
  visit("constitution", o.common.constitution, kConstitutionHelp);
  visit("run", o.common.run, "run folder: labels/run.db, labels.jsonl, labels.json", beside());
  visit("out", o.out, "file of labels to write (default: labels.jsonl of --run)", beside());
  for_each_field(o.label, visit);
  visit_engine(o.common, visit);
  for_each_field(o.endpoint, visit);
}

struct Work {
  std::vector<Prompt> prompts;
  GivenPairs given;
};

// Pairs of one prompt more than once get ids of their own.
Result<Work> work_of(const LabelCommand& command, const EventSink& events) {
  Work work;
  if (command.given.empty()) {
    auto prompts = load_prompts(command.common.prompts);
    if (!prompts) return tl::unexpected(prompts.error());
    work.prompts = std::move(*prompts);
    return work;
  }
  auto pairs = load_pairs(command.given);
  if (!pairs) return tl::unexpected(pairs.error());
  tell_silent_answers(*pairs, events);
  for (AnswerPair& pair : *pairs) {
    std::string id = pair.id;
    for (int n = 2; work.given.count(id) > 0; ++n) id = pair.id + "-" + std::to_string(n);
    work.given[id] = {std::move(pair.chosen), std::move(pair.rejected)};
    work.prompts.push_back({std::move(id), std::move(pair.messages), {}});
  }
  return work;
}

struct Models {
  std::unique_ptr<Model> policy, other;
  std::shared_ptr<Meter> meter;
  Model& judge() const { return other ? *other : *policy; }
};

Result<Models> open_models(const LabelCommand& command, const EventSink& events) {
  const CommonOptions& common = command.common;
  const bool apart = !common.judge.empty() && common.judge != common.model;
  Models models;
  auto meter = open_meter(command.endpoint, {common.model, apart ? common.judge : ""}, common.run, events);
  if (!meter) return tl::unexpected(meter.error());
  models.meter = std::move(*meter);
  OpenOptions open;
  open.engine = engine_options(common);
  open.endpoint = command.endpoint;
  open.meter = models.meter;
  open.events = events;
  open.scores = !apart;
  auto policy = open_model(common.model, open);
  if (!policy) return tl::unexpected(policy.error());
  models.policy = std::move(*policy);
  if (!apart) return models;
  open.scores = true;
  auto other = open_model(common.judge, open);
  if (!other) return tl::unexpected(other.error());
  models.other = std::move(*other);
  return models;
}

// Every label, as lines and in the report.
Status collect(const LabelCommand& command, const Constitution& constitution, const RunStore& store, std::string& lines, LabelReport& report) {
  const auto take = [&](const PairLabel& pair) {
    report.add(pair);
    lines += label_line(pair);
  };
  const auto counts = visit_labels(command.label, constitution, !command.given.empty(), store, take);
  if (!counts) return tl::unexpected(counts.error());
  report.counts = *counts;
  if (command.revisions.empty()) return {};
  const auto run = RunStore::open_readonly(command.revisions);
  if (!run) return tl::unexpected(run.error());
  const auto free = visit_revisions(*run, take);
  if (!free) return tl::unexpected(free.error());
  report.revisions = free->pairs;
  return {};
}

Status check_command(const LabelCommand& command) {
  if (command.common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  if (command.common.run.empty()) return bad_input("no run folder is given", "give --run DIR");
  if (command.common.prompts.empty() == command.given.empty()) {
    return bad_input(command.given.empty() ? "no prompts are given" : "--prompts and --given are both given", "give --prompts FILE, or --given FILE");
  }
  return check(command.label);
}

Result<int> run_label(LabelCommand command, const EventSink& events) {
  if (Status fine = check_command(command); !fine) return tl::unexpected(fine.error());
  const std::string& run = command.common.run;
  if (command.out.empty()) command.out = run + "/labels.jsonl";
  const auto constitution = load_constitution(command.common.constitution.empty() ? data_path("constitutions/default.toml") : command.common.constitution);
  if (!constitution) return tl::unexpected(constitution.error());
  auto work = work_of(command, events);
  if (!work) return tl::unexpected(work.error());
  auto models = open_models(command, events);
  if (!models) return tl::unexpected(models.error());
  const std::string recipe = label_recipe(command.label, *constitution, models->policy->info(), models->judge().info(), work->given);
  if (Status made = make_folder(run + "/labels"); !made) return tl::unexpected(made.error());
  auto store = RunStore::open(run + "/labels", recipe);
  if (!store) return tl::unexpected(store.error());
  if (Status set = store->set_items(items_of(work->prompts)); !set) return tl::unexpected(set.error());
  if (Status kept = keep_constitution(*constitution, run); !kept) return tl::unexpected(kept.error());
  const auto result = label_items(*constitution, command.label, work->given, *models->policy, models->judge(), *store, events);
  if (!result) return tl::unexpected(result.error());
  std::string lines;
  LabelReport report(*constitution, !work->given.empty());
  if (Status collected = collect(command, *constitution, *store, lines, report); !collected) return tl::unexpected(collected.error());
  if (Status written = write_file(command.out, lines); !written) return tl::unexpected(written.error());
  if (Status written = write_file(run + "/labels.json", report.json() + "\n"); !written) return tl::unexpected(written.error());
  if (command.common.json) std::printf("%s\n", report.json().c_str());
  else std::printf("%s%s\n", report.text().c_str(), command.out.c_str());
  if (result->failed > 0) return failed(std::to_string(result->failed) + " items failed; the first: " + result->first_failure, "run the same command again: only these are tried again");
  return 0;
}

}  // namespace

void add_label(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("label", "preference labels by the constitution: which of two answers keeps it better");
  const auto options = std::make_shared<LabelCommand>();
  add_recipe_command(*command, context, "label", options, run_label);
  repeat_headers(*command);
  add_json_option(*command, options->common);
}

}  // namespace precept
