#include "cli/quickstart_run.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/familiarity.h"
#include "cli/interrupt.h"
#include "cli/keep_constitution.h"
#include "cli/locate.h"
#include "cli/metrics_log.h"
#include "cli/model_card.h"
#include "cli/open_model.h"
#include "cli/pocket_judge.h"
#include "cli/rl_stages.h"
#include "cli/run_report.h"
#include "cli/sl_stages.h"
#include "cli/time_log.h"
#include "precept/checkpoint/save.h"
#include "precept/constitution/recipe.h"
#include "precept/core/io.h"
#include "precept/evaluate/compare.h"
#include "precept/evaluate/familiarity.h"
#include "precept/evaluate/judge.h"
#include "precept/report/summary_json.h"
#include "precept/revise/summary.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// What the stages share.
struct Session {
  const LmApi& lm;
  const QuickstartOptions& options;
  EventSink events;
  std::string out;
  Constitution constitution;
  std::vector<Prompt> prompts, held_out;
  std::unique_ptr<RunStore> store;

  std::string path(const std::string& name) const { return out + "/" + name; }
  Result<std::unique_ptr<Model>> open(const std::string& folder) const {
    EngineOptions engine;
    engine.threads = options.threads;
    engine.device = options.device;
    engine.max_batch = options.batch;
    return lm.open_checkpoint(folder, engine);
  }
};

Status write_prompts(const std::vector<Prompt>& prompts, const std::string& path) {
  std::string lines;
  for (const Prompt& prompt : prompts) {
    nlohmann::ordered_json line;
    line["id"] = prompt.id;
    line["prompt"] = prompt.messages[0].content;
    line["tags"] = prompt.tags;
    lines += line.dump() + "\n";
  }
  return write_file(path, lines);
}

// One evaluation of the policy on the held-out prompts; one that is there already and would come out the same is taken as
// it is.
Result<Evaluation> evaluate(Session& s, Model& model, const std::string& label) {
  const std::string path = s.path("eval-" + label + ".json");
  EvalOptions options;
  options.seed = s.options.seed;
  options.label = label;
  const pocket::PocketOracle oracle(s.constitution);
  if (fs::exists(path)) {
    const Evaluation planned = planned_evaluation(model.info(), s.held_out, s.constitution, oracle, options);
    auto stored = load_evaluation(path);
    if (stored && stored->model_digest == planned.model_digest && comparable(*stored, path, planned, path) &&
        differing_settings(*stored, planned).empty()) {
      return stored;
    }
  }
  auto evaluation = evaluate_policy(model, s.held_out, s.constitution, oracle, options, s.events);
  if (!evaluation) return evaluation;
  if (const auto written = write_file(path, to_json(*evaluation)); !written) return tl::unexpected(written.error());
  return evaluation;
}

Result<JudgeQuality> measure_judge(Session& s, Model& model, const Evaluation& base) {
  const std::string path = s.path("judge.json");
  if (fs::exists(path)) {
    if (auto stored = load_judge_quality(path)) return stored;
  }
  std::vector<JudgeCase> cases;
  for (std::size_t i = 0; i < s.held_out.size() && i < static_cast<std::size_t>(s.options.judge_cases); ++i) {
    cases.push_back({s.held_out[i], base.outcomes[i].answer});
  }
  const auto templates = resolve_templates(s.constitution);
  if (!templates) return tl::unexpected(templates.error());
  const pocket::PocketOracle oracle(s.constitution);
  auto quality = evaluate_judge(model, cases, s.constitution, oracle, judge_requests(*templates), s.events);
  if (!quality) return quality;
  if (const auto written = write_file(path, to_json(*quality)); !written) return tl::unexpected(written.error());
  return quality;
}

ReviseOptions loop_options(const QuickstartOptions& o) {
  ReviseOptions options;
  options.seed = o.seed;
  options.selection = o.selection;
  options.revise_compliant = o.revise_compliant;
  options.max_rounds = o.max_rounds;
  options.draft_temperature = o.draft_temperature;
  options.draft_max_tokens = 96;
  options.critique_max_tokens = 48;
  options.revision_max_tokens = 96;
  return options;
}

// Before any other work: the store refuses a model or a constitution other than those that the run began with, and
// whatever else lies in the folder is then of the same. Open to the end, it keeps a second quickstart away.
Status open_store(Session& s, const Model& model) {
  auto store = RunStore::open(s.out, revise_recipe(loop_options(s.options), s.constitution, model.info(), model.info()));
  if (!store) return tl::unexpected(store.error());
  s.store = std::make_unique<RunStore>(std::move(*store));
  if (const auto kept = keep_constitution(s.constitution, s.out); !kept) return kept;
  if (const auto written = write_prompts(s.prompts, s.path("prompts.jsonl")); !written) return written;
  return write_prompts(s.held_out, s.path("held-out.jsonl"));
}

Status run_loop(Session& s, Model& model) {
  if (const auto set = s.store->set_items(items_of(s.prompts)); !set) return set;
  if (const auto kept = keep_familiarity(s.out, model, true, sample_texts(s.prompts), s.prompts.size(), s.events); !kept) {
    return kept;
  }
  const auto looped = run_loop_stage(s.constitution, loop_options(s.options), model, model, *s.store, s.path("sft.jsonl"), s.events);
  return looped ? all_finished(*looped) : tl::unexpected(looped.error());
}

Status train_sl(Session& s, const std::string& base_folder, MetricsLog& metrics) {
  TrainCommand command;
  TrainOptions& options = command.train;
  options.from = base_folder;
  options.out = s.path("models/sl");
  options.state = s.path("models/sl.state");
  options.epochs = s.options.epochs;
  options.lr = s.options.lr;
  options.batch_tokens = s.options.batch_tokens;
  options.precision = s.options.precision;
  options.checkpoint_every = 50;
  options.seed = s.options.seed;
  options.threads = s.options.threads;
  options.device = s.options.device;
  options.stop = interrupted;
  if (const Status watched = add_panel(command, s.options.constitution, s.prompts); !watched) return watched;
  const auto summary = run_sft_stage(s.lm, options, s.path("sft.jsonl"), metrics.tee("sft", s.events));
  if (!summary) return tl::unexpected(summary.error());
  std::error_code ignored;
  fs::remove_all(options.state, ignored);  // resumable no more: the checkpoint is there
  return {};
}

// Answers of the aligned model itself, judged by the base; the fine-tuned model is where it begins and what it stays near.
Result<std::string> train_rl(Session& s, const std::string& base_folder, MetricsLog& metrics) {
  TrainCommand command;
  command.model = s.path("models/sl");
  command.out = s.path("models/rl");
  command.run = s.out;
  GrpoStage stage = rl_stage(s.options.reinforce, command);
  TrainOptions& train = command.train;
  train.precision = s.options.precision;
  train.checkpoint_every = 10;
  train.seed = s.options.seed;
  train.threads = s.options.threads;
  train.device = s.options.device;
  if (const Status ready = prepare(command, "rl"); !ready) return tl::unexpected(ready.error());
  stage.judge = base_folder;
  stage.constitution_file = s.options.constitution;
  stage.batch = s.options.batch;
  const auto summary = run_grpo_stage(s.lm, command, stage, s.prompts, metrics.tee("rl", s.events));
  if (!summary) return tl::unexpected(summary.error());
  std::error_code ignored;
  fs::remove_all(train.state, ignored);
  return summary->halted;
}

// A folder remembers the recipe it began with; another one is refused with what differs.
Status keep_recipe(QuickstartOptions options) {
  const std::string path = options.out + "/recipe.toml";
  const RecipeSection now = {"quickstart", fields_of(options)};
  if (!fs::exists(path)) {
    for (const char* own : {"prompts.jsonl", "held-out.jsonl"}) {
      if (fs::exists(options.out + "/" + own)) {
        return bad_input("a file of that name is there already, and would be overwritten", "use another --out", options.out + "/" + own);
      }
    }
    return write_file(path, recipe_text(now, "What this run is made of, defaults included. Again: "
                                             "precept quickstart --recipe FILE --out DIR"));
  }
  QuickstartOptions began;
  const RecipeSection was = {now.name, fields_of(began)};
  if (const auto read = read_recipe(path, {was}, was.name); !read) return read;
  return same_recipe(was.fields, now.fields, path);
}

Result<Session> begin(const LmApi& lm, const QuickstartOptions& options, const EventSink& events) {
  Session s{lm, options, events, options.out, {}, {}, {}, {}};
  const std::string file = options.constitution.empty() ? data_path("constitutions/default.toml") : options.constitution;
  auto constitution = load_constitution(file);
  if (!constitution) return tl::unexpected(constitution.error());
  s.constitution = std::move(*constitution);
  if (const auto made = make_folder(s.path("models")); !made) return tl::unexpected(made.error());
  if (const auto kept = keep_recipe(options); !kept) return tl::unexpected(kept.error());
  s.prompts = pocket::pocket_prompts(pocket::Split::kTrain, options.prompts, options.seed);
  s.held_out = unseen_pocket_prompts(options.held_out, options.seed);
  return s;
}

// The model card of FOLDER in the run. A person may have edited one that is there: only its figures are renewed.
Status put_card(const Session& s, const std::string& base_folder, const char* folder, const Model& model) {
  if (fs::exists(s.path(std::string(folder) + "/README.md"))) return refresh_cards(s.out, "");
  return card_of_training({s.path(folder), base_folder, model.info().digest, s.out, ""});
}

}  // namespace

Result<QuickstartResult> run_quickstart(const LmApi& lm, const QuickstartOptions& options, const EventSink& events) {
  const auto began = std::chrono::steady_clock::now();
  auto session = begin(lm, options, events);
  if (!session) return tl::unexpected(session.error());
  Session& s = *session;
  TimeLog time(s.out, "prepare", began);
  s.events = time.tee(events);
  MetricsLog metrics(s.out);
  const auto base = pocket_folder();
  if (!base) return tl::unexpected(base.error());
  const std::string& base_folder = *base;

  auto model = s.open(base_folder);
  if (!model) return tl::unexpected(model.error());
  if (const auto opened = open_store(s, **model); !opened) return tl::unexpected(opened.error());
  time.stage("evaluate base");
  auto before = evaluate(s, **model, "base");
  if (!before) return tl::unexpected(before.error());
  time.stage("measure the judge");
  const auto judge = measure_judge(s, **model, *before);
  if (!judge) return tl::unexpected(judge.error());
  time.stage("loop");
  if (const auto looped = run_loop(s, **model); !looped) return tl::unexpected(looped.error());
  model->reset();

  time.stage("train");
  if (!has_weights(s.path("models/sl"))) {
    if (const auto trained = train_sl(s, base_folder, metrics); !trained) return tl::unexpected(trained.error());
  }
  time.stage("evaluate sl");
  auto aligned = s.open(s.path("models/sl"));
  if (!aligned) return tl::unexpected(aligned.error());
  auto sl = evaluate(s, **aligned, "sl");
  if (!sl) return tl::unexpected(sl.error());
  if (const auto card = put_card(s, base_folder, "models/sl", **aligned); !card) return tl::unexpected(card.error());

  QuickstartResult result{std::move(*before), std::move(*sl), {}, "", s.path("report.html")};
  if (options.rl) {
    aligned->reset();
    time.stage("reinforce");
    if (!has_weights(s.path("models/rl"))) {
      auto trained = train_rl(s, base_folder, metrics);
      if (!trained) return tl::unexpected(trained.error());
      result.halted = std::move(*trained);
    }
    time.stage("evaluate rl");
    auto reinforced = s.open(s.path("models/rl"));
    if (!reinforced) return tl::unexpected(reinforced.error());
    auto rl = evaluate(s, **reinforced, "rl");
    if (!rl) return tl::unexpected(rl.error());
    if (const auto card = put_card(s, base_folder, "models/rl", **reinforced); !card) return tl::unexpected(card.error());
    result.rl = std::move(*rl);
  }

  time.stage("report");
  const std::string& report = result.report;
  if (const auto written = write_run_report(s.out, report); !written) return tl::unexpected(written.error());
  time.stop();
  if (const auto written = write_run_summary(s.out); !written) return tl::unexpected(written.error());
  return result;
}

}  // namespace precept
