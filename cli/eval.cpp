// precept eval: what a model does on prompts it was not trained on, and how good it is as a judge.

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "cli/pocket_judge.h"
#include "cli/run_report.h"
#include "precept/core/io.h"
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/json.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

struct EvalCommand {
  CommonOptions common;
  EvalOptions eval;
  std::string world = "pocket";
  int held_out = 1000;
  int judge_cases = 0;
  bool perplexity = false;
};

// Everything that one evaluation found.
struct Findings {
  Evaluation evaluation;
  std::optional<JudgeQuality> judge;
  std::optional<Perplexity> here, home;  // of the prompts given, and of the world's own
};

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

// Prompts of the world that no training saw; another seed than any loop's.
std::vector<Prompt> world_prompts(int count, std::uint64_t seed) {
  return pocket::pocket_prompts(pocket::Split::kHeldOut, count, seed + 1'000'003);
}

std::vector<std::string> texts_of(const std::vector<Prompt>& prompts) {
  std::vector<std::string> texts;
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

Status check(const EvalCommand& command) {
  const EvalOptions& e = command.eval;
  if (command.common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  if (command.world != "pocket") {
    return bad_input("there is no world \"" + command.world + "\"", "the world that comes with Precept is pocket");
  }
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  if (e.label.empty() || e.label.size() > 64 || !std::all_of(e.label.begin(), e.label.end(), plain)) {
    return bad_input("--label must be lower-case letters, digits and -", "base and sl are the ones a report reads");
  }
  if (!(e.temperature >= 0 && e.temperature <= 100)) return bad_input("--temperature must lie in 0..100", "1 is the model's own distribution");
  if (!(e.top_p > 0 && e.top_p <= 1)) return bad_input("--top-p must lie above 0 and at most at 1", "1 leaves nothing out");
  if (e.max_tokens < 1 || e.max_tokens > 1'000'000) return bad_input("--max-tokens must be at least 1", "96, for example");
  if (command.held_out < 1 || command.judge_cases < 0) return bad_input("--held-out must be at least 1, --judge-cases at least 0", "1000 and 400, for example");
  return {};
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
  std::printf("%s\n", json::dump(out).c_str());
}

Status store(const EvalCommand& command, const Findings& f) {
  const std::string& run = command.common.run;
  if (Status made = make_folder(run); !made) return made;
  if (Status written = write_file(run + "/eval-" + command.eval.label + ".json", to_json(f.evaluation)); !written) return written;
  if (f.judge) {
    if (Status written = write_file(run + "/judge.json", to_json(*f.judge)); !written) return written;
  }
  // The constitution that was ruled by, for the report.
  const std::string& file = command.common.constitution;
  const bool prose = file.size() > 3 && file.compare(file.size() - 3, 3, ".md") == 0;
  const std::string copy = run + (prose ? "/constitution.md" : "/constitution.toml");
  if (!read_file(copy)) {
    const auto bytes = read_file(file);
    if (!bytes) return pass(bytes.error());
    if (Status written = write_file(copy, *bytes); !written) return written;
  }
  return write_run_summary(run, 0);
}

Result<int> run_eval(EvalCommand command, const EventSink& events) {
  CommonOptions& common = command.common;
  if (Status status = check(command); !status) return pass(status.error());
  if (common.constitution.empty()) common.constitution = data_path("constitutions/default.toml");
  const auto constitution = load_constitution(common.constitution);
  if (!constitution) return pass(constitution.error());
  Result<std::vector<Prompt>> prompts =
      common.prompts.empty() ? world_prompts(command.held_out, common.seed) : load_prompts(common.prompts);
  if (!prompts) return pass(prompts.error());

  OpenOptions open;
  EngineOptions& engine = open.engine;
  engine.threads = common.threads;
  engine.max_batch = common.batch;
  auto model = open_model(common.model, open);
  if (!model) return pass(model.error());
  Result<std::unique_ptr<Model>> other = std::unique_ptr<Model>();
  if (command.judge_cases > 0 && !common.judge.empty() && common.judge != common.model) {
    other = open_model(common.judge, open);
    if (!other) return pass(other.error());
  }
  const pocket::PocketOracle oracle(*constitution);
  command.eval.seed = common.seed;
  auto evaluation = evaluate_policy(**model, *prompts, *constitution, oracle, command.eval, events);
  if (!evaluation) return pass(evaluation.error());
  Findings findings;
  findings.evaluation = std::move(*evaluation);
  if (command.perplexity) {
    auto here = perplexity(**model, texts_of(*prompts), events);
    if (!here) return pass(here.error());
    auto home = perplexity(**model, texts_of(world_prompts(300, common.seed)), events);
    if (!home) return pass(home.error());
    findings.here = *here;
    findings.home = *home;
  }
  if (command.judge_cases > 0) {
    auto quality = measure_judge(command, *other ? **other : **model, *prompts, *constitution, oracle, findings.evaluation, events);
    if (!quality) return pass(quality.error());
    findings.judge = std::move(*quality);
  }
  if (!common.run.empty()) {
    if (Status stored = store(command, findings); !stored) return pass(stored.error());
  }
  if (common.json) print_json(findings);
  else print(findings, command.eval.label);
  return 0;
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("eval", "violation rate, helpfulness and over-refusal, with intervals");
  const auto options = std::make_shared<EvalCommand>();
  add_model_option(*command, options->common);
  add_judge_option(*command, options->common);
  add_constitution_option(*command, options->common);
  CLI::Option* prompts = add_prompts_option(*command, options->common);
  command->add_option("--held-out", options->held_out, "without --prompts: that many held-out prompts of the world")
      ->capture_default_str()
      ->excludes(prompts);
  command->add_option("--world", options->world, "whose oracle rules on the answers; prompts that it does not know are unscored")
      ->capture_default_str();
  command->add_option("--judge-cases", options->judge_cases, "measure the judge's own quality on that many of the answers")
      ->capture_default_str();
  command->add_flag("--perplexity", options->perplexity, "also say how surprising the prompts are to the model");
  command->add_option("--label", options->eval.label, "name of this evaluation: base before training, sl after")->capture_default_str();
  command->add_option("--temperature", options->eval.temperature, "0: greedy")->capture_default_str();
  command->add_option("--top-p", options->eval.top_p, "sample from the most probable tokens of this total")->capture_default_str();
  command->add_option("--max-tokens", options->eval.max_tokens, "longest answer")->capture_default_str();
  add_run_option(*command, options->common);
  add_seed_option(*command, options->common);
  add_engine_options(*command, options->common);
  add_json_option(*command, options->common);
  command->callback([options, &context] {
    context.action = [options, &context] { return run_eval(*options, context.events); };
  });
}

}  // namespace precept
