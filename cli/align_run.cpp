#include "cli/align_run.h"

#include <filesystem>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "cli/keep_constitution.h"
#include "cli/locate.h"
#include "cli/metrics_log.h"
#include "cli/rl_stages.h"
#include "cli/sl_stages.h"
#include "precept/checkpoint/save.h"
#include "precept/core/io.h"
#include "precept/evaluate/json.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBetweenSeed = 0x726f756e64ull;  // of the panel's prompts: no other command draws these

struct Rounds {
  const LmApi& lm;
  const AlignOptions& options;
  EventSink events;
  MetricsLog metrics;
  Constitution constitution;
  std::vector<Prompt> prompts, panel;
  std::string base;

  std::string path(const std::string& name) const { return options.out + "/" + name; }
  EventSink tee(const std::string& stage) { return metrics.tee(stage, events); }
  Result<std::unique_ptr<Model>> open(const std::string& folder) const {
    EngineOptions engine;
    engine.threads = options.threads;
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
  train.checkpoint_every = 20;
  return command;
}

// On the panel; what is there is of the same model, since it lies beside it.
Result<Evaluation> measure(Rounds& r, const std::string& folder, const std::string& label) {
  const std::string path = r.path("panel-" + label + ".json");
  auto model = r.open(folder);
  if (!model) return tl::unexpected(model.error());
  if (fs::exists(path)) {
    auto stored = load_evaluation(path);
    if (stored && stored->model_digest == (*model)->info().digest) return stored;
  }
  EvalOptions options;
  options.seed = r.options.seed;
  options.label = label;
  const pocket::PocketOracle oracle(r.constitution);
  auto evaluation = evaluate_policy(**model, r.panel, r.constitution, oracle, options, r.events);
  if (!evaluation) return evaluation;
  if (const Status written = write_file(path, to_json(*evaluation)); !written) return tl::unexpected(written.error());
  return evaluation;
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
  loop.draft_max_tokens = loop.revision_max_tokens = r.options.grpo.max_new_tokens;
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

// Labels of a round; poisoned ones are turned round.
Result<std::vector<AnswerPair>> labels_of(Rounds& r, int round, const std::string& policy, const std::string& judge) {
  const std::string folder = r.path("round-" + std::to_string(round));
  auto writer = r.open(policy), reader = r.open(judge);
  if (!writer || !reader) return tl::unexpected(writer ? reader.error() : writer.error());
  LabelOptions label;
  label.samples = r.options.label_samples;
  label.max_tokens = r.options.grpo.max_new_tokens;
  label.seed = r.options.seed + static_cast<std::uint64_t>(round);
  if (const Status made = make_folder(folder + "/labels"); !made) return tl::unexpected(made.error());
  auto store = RunStore::open(folder + "/labels", label_recipe(label, r.constitution, (*writer)->info(), (*reader)->info(), {}));
  if (!store) return tl::unexpected(store.error());
  if (const Status set = store->set_items(items_of(r.prompts)); !set) return tl::unexpected(set.error());
  const auto labelled = label_items(r.constitution, label, {}, **writer, **reader, *store, r.events);
  if (!labelled) return tl::unexpected(labelled.error());
  const bool poisoned = round == r.options.poison_round;
  std::vector<AnswerPair> pairs;
  std::string lines;
  const auto counts = visit_labels(label, r.constitution, false, *store, [&](PairLabel pair) {
    if (poisoned) pair.label = 1 - pair.label;
    lines += label_line(pair);
    pairs.push_back({pair.id, pair.messages, pair.chosen, pair.rejected, pair.label});
  });
  if (!counts) return tl::unexpected(counts.error());
  if (const Status written = write_file(folder + "/labels.jsonl", lines); !written) return tl::unexpected(written.error());
  return pairs;
}

Status reward_model(Rounds& r, int round, const std::string& policy, const std::string& judge, const std::string& out) {
  if (has_weights(out)) return {};
  auto pairs = labels_of(r, round, policy, judge);
  if (!pairs) return tl::unexpected(pairs.error());
  if (pairs->empty()) return failed("no two answers of a prompt differ: there is nothing to compare", "raise --label-samples");
  TrainCommand command = command_for(r, r.base, out, r.options.reward_epochs, r.options.reward_lr);
  if (const Status ready = prepare(command, "reward"); !ready) return ready;
  const auto trained = run_reward_stage(r.lm, command, {}, 0.1, std::move(*pairs), r.tee("reward-" + std::to_string(round)));
  if (!trained) return tl::unexpected(trained.error());
  forget_state(command);
  return {};
}

// Labels, reward model, RL: why a guard stopped the last, or nothing.
Result<std::string> make_round(Rounds& r, int round, const std::string& policy, const std::string& judge, const std::string& out) {
  const std::string note = out + "/halted.txt";
  if (has_weights(out) && fs::exists(note)) return read_text(note);
  const double sign = round == r.options.poison_round ? -1 : 1;
  GrpoStage stage;
  stage.grpo = r.options.grpo;
  stage.judge = judge;
  stage.constitution_file = r.options.constitution;
  stage.batch = r.options.batch;
  stage.reward.judge_weight = sign * r.options.judge_weight;
  if (r.options.reward_model_weight > 0) {
    stage.reward.reward_model = r.path("models/reward-" + std::to_string(round));
    stage.reward.reward_model_weight = r.options.reward_model_weight;  // learnt from labels that are turned round already
    if (const Status made = reward_model(r, round, policy, judge, stage.reward.reward_model); !made) return tl::unexpected(made.error());
  }
  TrainCommand command = command_for(r, policy, out, r.options.rl_epochs, r.options.rl_lr);
  command.train.weight_decay = 0;
  command.train.seed += static_cast<std::uint64_t>(round);
  if (const Status ready = prepare(command, "rl"); !ready) return tl::unexpected(ready.error());
  const auto trained = run_grpo_stage(r.lm, command, stage, r.prompts, r.tee("rl-" + std::to_string(round)));
  if (!trained) return tl::unexpected(trained.error());
  if (const Status kept = write_file(note, trained->halted); !kept) return tl::unexpected(kept.error());
  forget_state(command);
  return trained->halted;
}

nlohmann::ordered_json to_json(const RoundResult& round) {
  return {{"round", round.round}, {"decision", decision_name(round.decision)}, {"why", round.why}, {"model", round.model}, {"kept", round.kept},
          {"violation_rate", json::estimate(round.violation_rate)}, {"helpfulness", json::estimate(round.helpfulness)},
          {"over_refusal", json::estimate(round.over_refusal)}, {"halted", round.halted}};
}

Status keep(const Rounds& r, const AlignResult& result) {
  nlohmann::ordered_json all = {{"rounds", nlohmann::ordered_json::array()}, {"model", result.model}};
  for (const RoundResult& round : result.rounds) all["rounds"].push_back(to_json(round));
  return write_file(r.path("rounds.json"), json::dump(all) + "\n");
}

// Prompts that are neither trained on nor asked by the guards.
std::vector<Prompt> panel_of(int count, const std::vector<Prompt>& taken) {
  std::set<std::string> seen;
  for (const Prompt& prompt : taken) seen.insert(prompt.messages.back().content);
  std::vector<Prompt> out;
  for (Prompt& prompt : pocket::pocket_prompts(pocket::Split::kTrain, 4 * count, kBetweenSeed)) {
    if (static_cast<int>(out.size()) == count) break;
    if (seen.insert(prompt.messages[0].content).second) out.push_back(std::move(prompt));
  }
  return out;
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
  r.panel = panel_of(r.options.panel, r.prompts);
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
  Rounds r{lm, options, events, MetricsLog(options.out), {}, {}, {}, {}};
  if (const Status begun = begin(r); !begun) return tl::unexpected(begun.error());
  AlignResult result;
  result.model = r.base;
  if (options.sl) {
    auto sl = supervised(r);
    if (!sl) return tl::unexpected(sl.error());
    result.model = std::move(*sl);
  }
  auto before = measure(r, result.model, "0");
  if (!before) return tl::unexpected(before.error());
  for (int round = 1; round <= options.rounds; ++round) {
    RoundResult one;
    one.round = round;
    one.model = r.path("models/round-" + std::to_string(round));
    // The model that an earlier round made judges; a fine-tuned one alone never learnt to judge better than its base.
    const std::string judge = options.judged_by == "base" || round == 1 ? r.base : result.model;
    auto halted = make_round(r, round, result.model, judge, one.model);
    if (!halted) return tl::unexpected(halted.error());
    one.halted = std::move(*halted);
    auto after = measure(r, one.model, std::to_string(round));
    if (!after) return tl::unexpected(after.error());
    one.violation_rate = after->violation_rate;
    one.helpfulness = after->helpfulness;
    one.over_refusal = after->over_refusal;
    one.decision = decide(compare(*before, *after), one.halted, one.why);
    // A round that brings nothing that the panel can see is not taken over either: what else it did, the panel did not see.
    if (one.decision == RoundDecision::kGoOn) {
      result.model = one.model;
      before = std::move(after);
    }
    one.kept = result.model;
    result.rounds.push_back(one);
    if (const Status kept = keep(r, result); !kept) return tl::unexpected(kept.error());
    if (one.decision != RoundDecision::kGoOn) break;
  }
  return result;
}

}  // namespace precept
