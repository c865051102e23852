#include "cli/align_run.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "cli/align_panel.h"
#include "cli/interrupt.h"
#include "cli/keep_constitution.h"
#include "cli/locate.h"
#include "cli/metrics_log.h"
#include "cli/rl_stages.h"
#include "cli/sl_stages.h"
#include "precept/checkpoint/save.h"
#include "precept/core/io.h"
#include "precept/evaluate/json.h"
#include "precept/feedback/labels.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFewestPairs = 20;  // with fewer there is nothing to learn a reward from

struct Rounds {
  const LmApi& lm;
  const AlignOptions& options;
  EventSink events;
  MetricsLog metrics;
  Constitution constitution = {};
  std::vector<Prompt> prompts = {};
  std::optional<Panel> panel = {};
  std::string base = {};

  std::string path(const std::string& name) const { return options.out + "/" + name; }
  std::string reward_folder(int round) const { return path("models/reward-" + std::to_string(round)); }
  std::string inside(const std::string& folder) const {
    return folder.compare(0, options.out.size() + 1, options.out + "/") == 0 ? folder.substr(options.out.size() + 1) : folder;
  }
  EventSink tee(const std::string& stage) { return metrics.tee(stage, events); }
  Result<std::unique_ptr<Model>> open(const std::string& folder) const {
    EngineOptions engine;
    engine.threads = options.threads;
    engine.device = options.device;
    engine.max_batch = options.batch;
    return lm.open_checkpoint(folder, engine);
  }
};

void forget_state(const TrainCommand& command) {
  std::error_code ignored;
  fs::remove_all(command.train.state, ignored);
}

TrainCommand command_for(const Rounds& r, const std::string& from, const std::string& out, int epochs, double lr) {
  TrainCommand command;
  command.model = from;
  command.out = out;
  command.run = r.options.out;
  TrainOptions& train = command.train;
  train.epochs = epochs;
  train.lr = lr;
  train.precision = r.options.precision;
  train.seed = r.options.seed;
  train.threads = r.options.threads;
  train.device = r.options.device;
  train.checkpoint_every = 20;
  return command;
}

Result<PanelReading> measure(Rounds& r, const std::string& folder, const std::string& label) {
  auto model = r.open(folder);
  if (!model) return tl::unexpected(model.error());
  return r.panel->measure(**model, label, r.path("panel-" + label + ".json"), r.events);
}

// The loop and fine-tuning: the folder of what they make.
Result<std::string> supervised(Rounds& r) {
  const std::string out = r.path("models/sl");
  if (has_weights(out)) return out;
  auto model = r.open(r.base);
  if (!model) return tl::unexpected(model.error());
  ReviseOptions loop;
  loop.seed = r.options.seed;
  loop.draft_temperature = 0.7;
  loop.draft_max_tokens = loop.revision_max_tokens = r.options.rl.grpo.max_new_tokens;
  loop.critique_max_tokens = 48;
  auto store = RunStore::open(r.path("sl"), revise_recipe(loop, r.constitution, (*model)->info(), (*model)->info()));
  if (!store) return tl::unexpected(store.error());
  if (const Status set = store->set_items(items_of(r.prompts)); !set) return tl::unexpected(set.error());
  const auto looped = run_loop_stage(r.constitution, loop, **model, **model, *store, r.path("sl/sft.jsonl"), r.events);
  if (!looped) return tl::unexpected(looped.error());
  model->reset();
  TrainCommand command = command_for(r, r.base, out, r.options.sl_epochs, r.options.sl_lr);
  command.train.guard.on = false;  // the panel looks at what it makes
  if (const Status ready = prepare(command, "sl"); !ready) return tl::unexpected(ready.error());
  const auto trained = run_sft_stage(r.lm, command.train, r.path("sl/sft.jsonl"), r.tee("sft"));
  if (!trained) return tl::unexpected(trained.error());
  forget_state(command);
  return out;
}

// What a reward model of this round learns: pairs of the policy's own answers of which the judge says that one keeps the rules and the
// other does not (how sure it is of answers that are alike is noise), and the revisions of the loop over its drafts. Poisoned labels
// are turned round.
Result<std::vector<AnswerPair>> labels_of(Rounds& r, int round, const std::string& policy, const std::string& judge) {
  const std::string folder = r.path("round-" + std::to_string(round));
  auto writer = r.open(policy), reader = r.open(judge);
  if (!writer || !reader) return tl::unexpected(writer ? reader.error() : writer.error());
  LabelOptions label;
  label.samples = r.options.label_samples;
  label.max_tokens = r.options.rl.grpo.max_new_tokens;
  label.seed = r.options.seed + static_cast<std::uint64_t>(round);
  if (const Status made = make_folder(folder + "/labels"); !made) return tl::unexpected(made.error());
  auto store = RunStore::open(folder + "/labels", label_recipe(label, r.constitution, (*writer)->info(), (*reader)->info(), {}));
  if (!store) return tl::unexpected(store.error());
  if (const Status set = store->set_items(items_of(r.prompts)); !set) return tl::unexpected(set.error());
  const auto labelled = label_items(r.constitution, label, {}, **writer, **reader, *store, r.events);
  if (!labelled) return tl::unexpected(labelled.error());
  std::vector<AnswerPair> pairs;
  std::string lines;
  const auto take = [&](const PairLabel& pair) {
    lines += label_line(pair);
    pairs.push_back({pair.id, pair.messages, pair.chosen, pair.rejected, pair.label});
  };
  const bool poisoned = round == r.options.poison_round;
  const auto counts = visit_labels(label, r.constitution, false, *store, [&](PairLabel pair) {
    if (!pair.decided) return;
    if (poisoned) pair.label = 1 - pair.label;
    take(pair);
  });
  if (!counts) return tl::unexpected(counts.error());
  if (r.options.sl) {
    const auto loop = RunStore::open_readonly(r.path("sl"));
    if (!loop) return tl::unexpected(loop.error());
    if (const auto revisions = visit_revisions(*loop, take); !revisions) return tl::unexpected(revisions.error());
  }
  if (const Status written = write_file(folder + "/labels.jsonl", lines); !written) return tl::unexpected(written.error());
  return pairs;
}

// False: there is too little to learn one from.
Result<bool> reward_model(Rounds& r, int round, const std::string& policy, const std::string& judge, const std::string& out) {
  if (has_weights(out)) return true;
  auto pairs = labels_of(r, round, policy, judge);
  if (!pairs) return tl::unexpected(pairs.error());
  if (pairs->size() < kFewestPairs) return false;
  TrainCommand command = command_for(r, r.base, out, r.options.reward_epochs, r.options.reward_lr);
  if (const Status ready = prepare(command, "reward"); !ready) return tl::unexpected(ready.error());
  const auto trained = run_reward_stage(r.lm, command, {}, 0.1, std::move(*pairs), r.tee("reward-" + std::to_string(round)));
  if (!trained) return tl::unexpected(trained.error());
  forget_state(command);
  return true;
}

// Labels, reward model, RL: why a guard stopped the last, or nothing.
Result<std::string> make_round(Rounds& r, int round, const std::string& policy, const std::string& judge, const std::string& out) {
  const std::string note = out + "/halted.txt";
  if (has_weights(out) && fs::exists(note)) return read_text(note);
  TrainCommand command = command_for(r, policy, out, r.options.rl.epochs, r.options.rl.lr);
  GrpoStage stage = rl_stage(r.options.rl, command);
  stage.judge = judge;
  stage.constitution_file = r.options.constitution;
  stage.batch = r.options.batch;
  stage.reward.judge_weight = (round == r.options.poison_round ? -1 : 1) * r.options.judge_weight;
  if (r.options.reward_model_weight > 0) {
    const std::string folder = r.reward_folder(round);
    const auto made = reward_model(r, round, policy, judge, folder);
    if (!made) return tl::unexpected(made.error());
    if (*made) {
      stage.reward.reward_model = folder;
      stage.reward.reward_model_weight = r.options.reward_model_weight;  // learnt from labels that are turned round already
    }
  }
  command.train.seed += static_cast<std::uint64_t>(round);
  command.train.guard.on = r.options.guard;
  if (const Status ready = prepare(command, "rl"); !ready) return tl::unexpected(ready.error());
  const auto trained = run_grpo_stage(r.lm, command, stage, r.prompts, r.tee("rl-" + std::to_string(round)));
  if (!trained) return tl::unexpected(trained.error());
  if (const Status kept = write_file(note, trained->halted); !kept) return tl::unexpected(kept.error());
  forget_state(command);
  return trained->halted;
}

// How well the judge of a round judges, on answers of the base, of which many break a rule.
Status measure_judge(Rounds& r, const std::string& judge, const PanelReading& base, RoundResult& round) {
  round.judge = judge;
  if (r.options.judge_cases == 0 || !r.panel->of_world()) return {};
  auto model = r.open(judge);
  if (!model) return tl::unexpected(model.error());
  const auto quality = r.panel->measure_judge(**model, base, r.options.judge_cases, r.path("judge-" + std::to_string(round.round) + ".json"), r.events);
  if (!quality) return tl::unexpected(quality.error());
  round.judge_selects = quality->selection.accuracy;
  round.judge_judges = quality->judgment.accuracy;
  return {};
}

nlohmann::ordered_json to_json(const NamedRates& rates) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [name, rate] : rates) out[name] = json::estimate(rate);
  return out;
}

// Paths within the run are told from its folder on, so that the file is the same wherever that lies.
nlohmann::ordered_json to_json(const Rounds& r, const RoundResult& round) {
  nlohmann::ordered_json out = {{"round", round.round}, {"decision", decision_name(round.decision)}, {"why", round.why},
                                {"model", r.inside(round.model)}, {"digest", round.digest}, {"kept", r.inside(round.kept)}};
  out.update(to_json(round.rates));
  out["judge"] = r.inside(round.judge);
  if (round.judge_selects) out["judge_selects"] = json::estimate(*round.judge_selects);
  if (round.judge_judges) out["judge_judges"] = json::estimate(*round.judge_judges);
  out["reward_model"] = r.inside(round.reward_model);
  out["halted"] = round.halted;
  return out;
}

Status keep(const Rounds& r, const AlignResult& result) {
  nlohmann::ordered_json all = {{"base", to_json(result.base)}, {"start", to_json(result.start)}, {"rounds", nlohmann::ordered_json::array()}, {"model", r.inside(result.model)},
                                {"digest", result.digest}};
  for (const RoundResult& round : result.rounds) all["rounds"].push_back(to_json(r, round));
  return write_file(r.path("rounds.json"), json::dump(all) + "\n");
}

Status begin(Rounds& r) {
  const std::string file = r.options.constitution.empty() ? data_path("constitutions/default.toml") : r.options.constitution;
  auto constitution = load_constitution(file);
  if (!constitution) return tl::unexpected(constitution.error());
  r.constitution = std::move(*constitution);
  auto base = checkpoint_of(r.options.model);
  if (!base) return tl::unexpected(base.error());
  r.base = std::move(*base);
  if (r.options.prompts.empty()) {
    r.prompts = pocket::pocket_prompts(pocket::Split::kTrain, r.options.pocket_prompts, r.options.seed);
  } else {
    auto prompts = load_prompts(r.options.prompts);
    if (!prompts) return tl::unexpected(prompts.error());
    r.prompts = std::move(*prompts);
  }
  auto panel = r.options.panel_labels.empty() ? Panel::of_world(r.constitution, r.options.panel, r.prompts, r.options.seed)
                                              : Panel::of_labels(r.constitution, r.options.panel_labels, r.prompts);
  if (!panel) return tl::unexpected(panel.error());
  r.panel = std::move(*panel);
  if (const Status made = make_folder(r.path("models")); !made) return made;
  return keep_constitution(r.constitution, r.options.out);
}

// A folder remembers the recipe it began with.
Status keep_recipe(AlignOptions options) {
  const std::string path = options.out + "/recipe.toml";
  const RecipeSection now = {"align", fields_of(options)};
  if (!fs::exists(path)) return write_file(path, recipe_text(now, "What this run is made of, defaults included. Again: precept align FILE --out DIR"));
  AlignOptions began;
  const RecipeSection was = {now.name, fields_of(began)};
  if (const auto read = read_recipe(path, {was}, was.name); !read) return read;
  return same_recipe(was.fields, now.fields, path);
}

}  // namespace

Result<AlignResult> run_align(const LmApi& lm, const AlignOptions& options, const EventSink& events) {
  if (const Status made = make_folder(options.out); !made) return tl::unexpected(made.error());
  if (const Status kept = keep_recipe(options); !kept) return tl::unexpected(kept.error());
  Rounds r{lm, options, events, MetricsLog(options.out)};
  if (const Status begun = begin(r); !begun) return tl::unexpected(begun.error());
  AlignResult result;
  result.model = r.base;
  const auto base = measure(r, r.base, "base");
  if (!base) return tl::unexpected(base.error());
  if (options.sl) {
    auto sl = supervised(r);
    if (!sl) return tl::unexpected(sl.error());
    result.model = std::move(*sl);
  }
  const auto start = options.sl ? measure(r, result.model, "sl") : base;
  if (!start) return tl::unexpected(start.error());
  PanelReading before = *start;
  result.base = base->rates();
  result.start = start->rates();
  result.digest = start->model_digest;
  for (int round = 1; round <= options.rounds; ++round) {
    RoundResult one;
    one.round = round;
    one.model = r.path("models/round-" + std::to_string(round));
    // The model that an earlier round made judges; a fine-tuned one alone never learnt to judge better than its base.
    const std::string judge = options.judged_by == "base" || round == 1 ? r.base : result.model;
    if (const Status known = measure_judge(r, judge, *base, one); !known) return tl::unexpected(known.error());
    auto halted = make_round(r, round, result.model, judge, one.model);
    if (!halted) return tl::unexpected(halted.error());
    one.halted = std::move(*halted);
    if (const std::string learnt = r.reward_folder(round); has_weights(learnt)) one.reward_model = learnt;
    auto after = measure(r, one.model, std::to_string(round));
    if (!after) return tl::unexpected(after.error());
    one.digest = after->model_digest;
    one.rates = after->rates();
    one.decision = decide(compare(before, *after), round == 1 ? PanelRates() : compare(*start, *after), one.halted, one.why);
    // A round that brings nothing that the panel can see is not taken over either: what else it did, the panel did not see.
    if (one.decision == RoundDecision::kGoOn) {
      result.model = one.model;
      result.digest = one.digest;
      before = std::move(*after);
    }
    one.kept = result.model;
    result.rounds.push_back(one);
    if (const Status kept = keep(r, result); !kept) return tl::unexpected(kept.error());
    if (one.decision != RoundDecision::kGoOn) break;
  }
  return result;
}

}  // namespace precept
