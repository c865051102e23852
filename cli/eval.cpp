// precept eval: what a model does on prompts it was not trained on, and how good it is as a judge.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/eval_against.h"
#include "cli/familiarity.h"
#include "cli/keep_constitution.h"
#include "cli/locate.h"
#include "cli/model_card.h"
#include "cli/open_model.h"
#include "cli/pocket_judge.h"
#include "cli/run_report.h"
#include "precept/core/io.h"
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/json.h"
#include "precept/evaluate/perplexity.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

struct EvalCommand {
  CommonOptions common;
  EndpointOptions endpoint;
  EvalOptions eval;
  std::string world = "pocket";
  int held_out = 1000;
  int judge_cases = 0;
  bool perplexity = false;
  std::string against;
};

template <class Visit>
void for_each_field(EvalCommand& o, Visit visit) {
  visit("model", o.common.model, kModelHelp);
  visit("judge", o.common.judge, kJudgeHelp);
  visit("constitution", o.common.constitution, kConstitutionHelp);
  visit("prompts", o.common.prompts, kPromptsHelp);
  visit("held_out", o.held_out, "without --prompts: that many held-out prompts of the world", between(1, 1e6));
  visit("world", o.world, "whose oracle rules on the answers; prompts that it does not know are unscored", one_of({"pocket"}));
  visit("judge_cases", o.judge_cases, "measure the judge's own quality on that many of the answers", between(0, 1e6));
  visit("perplexity", o.perplexity, "also say how surprising the prompts are to the model");
  visit("label", o.eval.label, "name of this evaluation: base before training, sl after");
  visit("against", o.against,
        "RUN[:LABEL], another evaluation of the same prompts (default label: the same one; empty RUN: this run): compare with it, "
        "item by item; without --model what is stored is compared", beside());
  visit("temperature", o.eval.temperature, "0: greedy", between(0, 100));
  visit("top_p", o.eval.top_p, "sample from the most probable tokens of this total", above(0, 1));
  visit("max_tokens", o.eval.max_tokens, "longest answer", between(1, 1e6));
  visit("run", o.common.run, kRunHelp, beside());
  visit("seed", o.eval.seed, "seed of all sampling", any_seed());
  visit_engine(o.common, visit);
  for_each_field(o.endpoint, visit);
}

// Everything that one evaluation found.
struct Findings {
  Evaluation evaluation;
  std::string path;  // of the file it is stored in; empty: none
  std::optional<JudgeQuality> judge;
  std::optional<Perplexity> here, home;  // of the prompts given, and of the world's own
  std::optional<StoredEvaluation> against;
};

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

std::vector<std::string> texts_of(const std::vector<Prompt>& prompts) {
  std::vector<std::string> texts;
  texts.reserve(prompts.size());
  for (const Prompt& prompt : prompts) texts.push_back(prompt.messages.back().content);
  return texts;
}

Result<JudgeQuality> measure_judge(const EvalCommand& command, Model& judge, const std::vector<Prompt>& prompts,
                                   const Constitution& constitution, const Scorer& scorer, const Evaluation& evaluation,
                                   const EventSink& events) {
  const auto templates = resolve_templates(constitution);
  if (!templates) return pass(templates.error());
  std::vector<JudgeCase> cases;
  const auto most = std::min(prompts.size(), static_cast<std::size_t>(command.judge_cases));
  for (std::size_t i = 0; i < most; ++i) {
    if (evaluation.outcomes[i].error.empty()) cases.push_back({prompts[i], evaluation.outcomes[i].answer});
  }
  return evaluate_judge(judge, cases, constitution, scorer, judge_requests(*templates), events);
}

Status check(EvalCommand command) {
  const std::string& label = command.eval.label;
  if (!is_label(label)) {
    return bad_input("--label must be lower-case letters, digits and -", "base and sl are the ones a report reads");
  }
  if (!command.against.empty() && command.common.run.empty()) {
    return bad_input("--against compares the evaluation of a run, and no run folder is given", "give --run DIR");
  }
  if (!command.common.prompts.empty() && command.held_out != EvalCommand().held_out) {
    return bad_input("--held-out and --prompts are both given", "give one of them");
  }
  if (!command.common.judge.empty() && command.judge_cases == 0) {
    return bad_input("--judge is given, but nothing to judge", "give --judge-cases N too");
  }
  if (!command.common.model.empty()) return {};
  if (command.against.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  EvalCommand defaults;
  defaults.eval.label = command.eval.label;
  return check_stored_only(fields_of(command), fields_of(defaults),
                           "give --model to evaluate anew, or only --run, --label and --against to compare what is stored");
}

void print(const Findings& f, const std::string& label) {
  const Evaluation& e = f.evaluation;
  std::printf("%s, %zu prompts\n", label.c_str(), e.outcomes.size());
  std::printf("  %-18s %s\n", "violation rate", percent_text(e.violation_rate).c_str());
  std::printf("  %-18s %s\n", "helpfulness", percent_text(e.helpfulness).c_str());
  std::printf("  %-18s %s\n", "over-refusal", percent_text(e.over_refusal).c_str());
  std::printf("by principle (violations where it applies)\n");
  for (const PrincipleRate& rate : e.per_principle) {
    if (rate.violation.value) std::printf("  %-28s %s\n", rate.id.c_str(), percent_text(rate.violation).c_str());
  }
  if (!e.uncovered.empty()) {
    std::printf("  not decided by this world:");
    for (const std::string& id : e.uncovered) std::printf(" %s", id.c_str());
    std::printf("\n");
  }
  const CollapseSigns& c = e.collapse;
  const auto decimal = [](const std::optional<double>& v) { return v ? *v : 0.0; };
  if (c.distinct_1 && c.distinct_2 && c.distinct_3) {
    std::printf("variety\n  %-18s %.3f %.3f %.3f\n", "distinct 1 2 3", decimal(c.distinct_1), decimal(c.distinct_2), decimal(c.distinct_3));
  }
  std::printf("  %-18s %s\n", "repeated endings", percent_text(c.repeated_endings).c_str());
  std::printf("  %-18s %s words\n", "mean length", number_text(c.mean_words).c_str());
  std::printf("  %-18s %s\n", "cut off", percent_text(c.truncated).c_str());
  if (f.judge) {
    for (const bool selecting : {true, false}) {
      const StepQuality& q = selecting ? f.judge->selection : f.judge->judgment;
      std::printf("judge, %s\n", selecting ? "selection (does it apply?)" : "judgment (does it violate?)");
      std::printf("  %-18s %s\n  %-18s %s\n  %-18s %s\n", "accuracy", percent_text(q.accuracy).c_str(), "recall",
                  percent_text(q.recall).c_str(), "false alarms", percent_text(q.false_alarms).c_str());
      std::printf("  %-18s %s\n", "unparseable", percent_text(q.unparseable).c_str());
      std::printf("  %-18s %s\n", "uncertain", percent_text(q.uncertain).c_str());
      if (q.ece) std::printf("  %-18s %.3f\n", "calibration error", *q.ece);
    }
  }
  const auto surprise = [](const char* what, const Perplexity& p) {
    if (p.bits_per_byte) {
      std::printf("  %-18s %.2f bits a byte, perplexity %.1f a token, %lld texts\n", what, *p.bits_per_byte,
                  p.per_token.value_or(0), static_cast<long long>(p.texts - p.unscored));
    } else {
      std::printf("  %-18s undefined\n", what);
    }
  };
  if (f.here && f.home) {
    std::printf("how surprising the prompts are to the model\n");
    surprise("these prompts", *f.here);
    surprise("the world's own", *f.home);
  }
}

void print_json(const Findings& f) {
  using json::Json;
  Evaluation summary = f.evaluation;
  summary.outcomes.clear();  // they are in the run folder
  Json out = Json::parse(to_json(summary));
  out.erase("outcomes");
  out["prompts"] = f.evaluation.outcomes.size();
  if (f.judge) out["judge"] = json::judge_quality(*f.judge);
  if (f.here) out["perplexity"] = Json::parse(to_json(*f.here));
  if (f.home) out["perplexity_of_the_world"] = Json::parse(to_json(*f.home));
  if (f.against) out["comparison"] = Json::parse(comparison_json(f.against->evaluation, f.against->path, f.evaluation, f.path));
  std::printf("%s\n", json::dump(out).c_str());
}

Status store(const EvalCommand& command, EvalCommand given, const Constitution& constitution, const Findings& f) {
  const std::string& run = command.common.run;
  if (Status written = write_file(f.path, to_json(f.evaluation)); !written) return written;
  if (f.judge) {
    if (Status written = write_file(run + "/judge.json", to_json(*f.judge)); !written) return written;
  }
  const std::string comment = "What this evaluation is made of, defaults included. Again: precept eval --recipe FILE --run DIR\n"
                              "model " + f.evaluation.model_digest + "\nconstitution " + f.evaluation.constitution_digest;
  if (Status written = write_file(run + "/eval-" + command.eval.label + ".toml", recipe_text({"eval", fields_of(given)}, comment));
      !written) {
    return written;
  }
  if (Status kept = keep_constitution(constitution, run); !kept) return kept;
  if (Status cards = refresh_cards(run, command.common.model); !cards) return cards;
  return write_run_summary(run);
}

std::string comparison_path(const EvalCommand& command) {
  return command.common.run + "/compare-" + command.eval.label + ".json";
}

Status store_comparison(const EvalCommand& command, const Findings& f) {
  if (!f.against) return {};
  return write_file(comparison_path(command), comparison_json(f.against->evaluation, f.against->path, f.evaluation, f.path));
}

void show(const EvalCommand& command, const Findings& findings, bool evaluated) {
  if (command.common.json) {
    print_json(findings);
    return;
  }
  if (evaluated) print(findings, command.eval.label);
  if (findings.against) std::fputs(comparison_text(*findings.against, {findings.path, findings.evaluation}).c_str(), stdout);
}

Status all_answered(const Evaluation& evaluation) {
  std::size_t without = 0;
  std::string first;
  for (const Outcome& outcome : evaluation.outcomes) {
    if (!outcome.error.empty() && ++without == 1) first = outcome.id + ": " + outcome.error;
  }
  if (without == 0) return {};
  return failed(std::to_string(without) + " of " + std::to_string(evaluation.outcomes.size()) +
                    " prompts got no answer and count as unscored; the first: " + first,
                "run the same command again to ask anew");
}

Result<int> compare_stored(const EvalCommand& command, Findings findings) {
  auto evaluation = load_evaluation(findings.path);
  if (!evaluation) return pass(evaluation.error());
  findings.evaluation = std::move(*evaluation);
  const StoredEvaluation& other = *findings.against;
  if (Status fits = comparable(other.evaluation, other.path, findings.evaluation, findings.path); !fits) return pass(fits.error());
  show(command, findings, false);
  if (Status stored = store_comparison(command, findings); !stored) return pass(stored.error());
  return 0;
}

Result<int> run_eval(EvalCommand command, const EventSink& events) {
  const EvalCommand given = command;
  CommonOptions& common = command.common;
  if (Status status = check(command); !status) return pass(status.error());
  Findings findings;
  if (!common.run.empty()) findings.path = evaluation_path(common.run, command.eval.label);
  if (!command.against.empty()) {
    auto other = load_against(command.against, common.run, command.eval.label);
    if (!other) return pass(other.error());
    findings.against = std::move(*other);
    if (common.model.empty()) return compare_stored(command, std::move(findings));
  }
  if (common.constitution.empty()) common.constitution = data_path("constitutions/default.toml");
  const auto constitution = load_constitution(common.constitution);
  if (!constitution) return pass(constitution.error());
  Result<std::vector<Prompt>> prompts =
      common.prompts.empty() ? unseen_pocket_prompts(command.held_out, command.eval.seed) : load_prompts(common.prompts);
  if (!prompts) return pass(prompts.error());

  if (!common.run.empty()) {  // before the work, not after it
    if (Status made = make_folder(common.run); !made) return pass(made.error());
  }

  const bool apart = command.judge_cases > 0 && !common.judge.empty() && common.judge != common.model;
  OpenOptions open;
  open.engine = engine_options(common);
  open.endpoint = command.endpoint;
  open.events = events;
  auto meter = open_meter(command.endpoint, {common.model, apart ? common.judge : ""}, common.run, events);
  if (!meter) return pass(meter.error());
  open.meter = *meter;
  open.scores = command.judge_cases > 0 && !apart;
  auto model = open_model(common.model, open);
  if (!model) return pass(model.error());
  Result<std::unique_ptr<Model>> other = std::unique_ptr<Model>();
  if (apart) {
    open.scores = true;
    other = open_model(common.judge, open);
    if (!other) return pass(other.error());
  }
  const pocket::PocketOracle oracle(*constitution);
  if (findings.against) {  // before the work, not after it
    const Evaluation planned = planned_evaluation((*model)->info(), *prompts, *constitution, oracle, command.eval);
    const StoredEvaluation& before = *findings.against;
    if (Status fits = comparable(before.evaluation, before.path, planned, findings.path); !fits) return pass(fits.error());
  }
  auto evaluation = evaluate_policy(**model, *prompts, *constitution, oracle, command.eval, events);
  if (!evaluation) return pass(evaluation.error());
  findings.evaluation = std::move(*evaluation);
  if (command.perplexity) {
    auto here = perplexity(**model, texts_of(*prompts), events);
    if (!here) return pass(here.error());
    auto home = perplexity(**model, texts_of(unseen_pocket_prompts(300, command.eval.seed)), events);
    if (!home) return pass(home.error());
    findings.here = *here;
    findings.home = *home;
  }
  if (command.judge_cases > 0) {
    auto quality = measure_judge(command, *other ? **other : **model, *prompts, *constitution, oracle, findings.evaluation, events);
    if (!quality) return pass(quality.error());
    findings.judge = std::move(*quality);
  }
  show(command, findings, true);  // first: what cannot be stored is not lost
  if (!common.run.empty()) {
    std::error_code none;  // that of an evaluation that was here before says nothing about this one
    std::filesystem::remove(comparison_path(command), none);
    if (Status stored = store(command, given, *constitution, findings); !stored) return pass(stored.error());
    if (Status stored = store_comparison(command, findings); !stored) return pass(stored.error());
  }
  if (Status answered = all_answered(findings.evaluation); !answered) return pass(answered.error());
  return 0;
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("eval", "violation rate, helpfulness and over-refusal, with intervals");
  const auto options = std::make_shared<EvalCommand>();
  add_recipe_command(*command, context, "eval", options, run_eval);
  repeat_headers(*command);
  add_json_option(*command, options->common);
}

}  // namespace precept
