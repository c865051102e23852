#pragma once
// What the trainers' commands share: options, where training begins, guards, and what is said in the end.

#include <CLI/CLI.hpp>

#include "cli/command.h"
#include "precept/constitution/prompts.h"
#include "precept/lm/api.h"

namespace precept {

// Which prompts the guards ask: of the pocket world, where its oracle says what is true; or a file's.
struct PanelOptions {
  int panel = 200;           // pocket prompts that nothing trains on
  std::string panel_prompts; // a file instead
};

struct TrainCommand {
  std::string model = "pocket", data, out, run, shard_size = "5GB";
  bool json = false, merge = false;
  TrainOptions train;
  PanelOptions panel;
  std::function<std::string(const Rollout&)> answer_of;  // what counts of a text that the policy wrote, for the panel's oracle; empty: all of it
};

// Options of every trainer; where they begin and what they read comes from each command's own list.
template <class Visit>
void visit_training(TrainCommand& o, Visit visit) {
  TrainOptions& t = o.train;
  visit("shard_size", o.shard_size, kShardHelp, beside());
  visit("epochs", t.epochs, "passes over the data", between(1, 10'000));
  visit("lr", t.lr, "highest learning rate", above(0, 10));
  visit("min_lr_share", t.min_lr_share, "the cosine ends at this share of the learning rate", between(0, 1));
  visit("warmup_share", t.warmup_share, "share of all steps in which the learning rate rises", between(0, 1));
  visit("batch_tokens", t.batch_tokens, "tokens of one step", between(1, 1e9));
  visit("max_tokens", t.max_tokens, "longest example; longer ones are cut and counted", between(2, 1e6));
  visit("weight_decay", t.weight_decay, "decoupled, of matrices only", between(0, 1000));
  visit("beta1", t.beta1, "AdamW", between(0, 0.999999));
  visit("beta2", t.beta2, "AdamW", between(0, 0.999999));
  visit("clip_norm", t.clip_norm, "global gradient norm; 0: none", between(0, 1e9));
  visit("activation_checkpointing", t.activation_checkpointing,
        "compute each layer again on the way back instead of keeping all of it: less memory, more time", beside());
  visit("lanes", t.lanes,
        "gradients of a step that are summed apart, then in order: bounds the threads and processes that have work; fewer take less "
        "memory (4 bytes a parameter for each of min(lanes, threads + 1)); the last bits of results depend on it", between(1, kMaxLanes));
  visit("lora", t.lora.on, "train a low-rank adapter (PEFT's format) and leave the weights as they are");
  visit("lora_rank", t.lora.rank, "rank of the adapter", between(1, 65536));
  visit("lora_alpha", t.lora.alpha, "the adapter's part is scaled by alpha / rank", above(0, 1e9));
  visit("lora_targets", t.lora.targets, "matrices that it adapts, by comma, or all-linear");
  visit("lora_rslora", t.lora.rslora, "scale by alpha / sqrt(rank) instead");
  visit("merge", o.merge, "with --lora: write the merged checkpoint too, into OUT-merged");
  visit("checkpoint_every", t.checkpoint_every, "steps between resumable states", beside(between(0, 1e9)));
  visit("state", t.state, "folder of the resumable state (default: OUT.state)", beside());
  visit("precision", t.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("device", t.device, kTrainDeviceHelp);
  visit("seed", t.seed, "order of the examples, and all sampling", any_seed());
  visit("threads", t.threads, kThreadsHelp, threads_rule());
}

// The guards: limits against collapse; 0 switches one off.
template <class Visit>
void visit_guards(TrainCommand& o, Visit visit) {
  GuardOptions& g = o.train.guard;
  visit("guard", g.on, "watch for collapse, and stop and roll back when a limit is broken");
  visit("guard_every", g.every, "steps between looks of the guards", between(1, 1e6));
  visit("guard_patience", g.patience, "looks in a row that break a limit before it stops the training", between(1, 1000));
  visit("min_entropy_share", g.min_entropy_share, "least entropy of its own answers, as a share of the start's; 0: no limit", between(0, 1));
  visit("min_distinct_share", g.min_distinct_share, "least share of distinct pairs of tokens, likewise", between(0, 1));
  visit("max_repeated_endings", g.max_repeated_endings, "how much the share of answers that end alike may rise; 0: no limit", between(0, 1));
  visit("min_length_share", g.min_length_share, "shortest mean answer, as a share of the start's; 0: no limit", between(0, 1));
  visit("max_length_share", g.max_length_share, "longest mean answer, likewise; 0: no limit", between(0, 1e6));
  visit("max_kl", g.max_kl, "greatest distance to the reference, nats a token; 0: no limit", between(0, 1e6));
  visit("max_unparseable", g.max_unparseable, "greatest share of rewards that could not be read; 0: no limit", between(0, 1));
  visit("max_truth_fall", g.max_truth_fall, "how far the held-out truth may fall while what is rewarded does not; 0: no limit", between(0, 1));
  visit("panel", o.panel.panel, "prompts of the pocket world that the guards ask, and its oracle rules on; 0: none", between(0, 1e6));
  visit("panel_prompts", o.panel.panel_prompts, "prompts file that the guards ask instead, without an oracle");
}

// `sft` keeps the guards as they are by default: without prompts of its own it asks none.
Status check_lora(TrainCommand& options, const std::string& from);

// The checkpoint folder of `model`.
Result<std::string> checkpoint_of(const std::string& model);

// Fills the guards' prompts: those of a file, or, where the model or the prompts trained on (`taken`) are the pocket world's, prompts
// of its training part that are not among these, with its oracle's rulings by the constitution (empty: the default) as the truth.
Status add_panel(TrainCommand& options, const std::string& constitution_file, const std::vector<Prompt>& taken);

// Paths and stop of the options, before training; makes no folder. `kind`: the folder under RUN/models.
Status prepare(TrainCommand& options, const std::string& kind);

// Of several processes the first one reports.
EventSink reported(const TrainCommand& options, EventSink events);

// Prints, and keeps the recipe beside the weights; the first of several processes does. 0, or 1 when a guard stopped the training.
Result<int> conclude_training(const TrainCommand& options, const char* section, const std::vector<Field>& fields, const TrainSummary& summary);

void add_train_dpo(CLI::App& train, Context& context);
void add_train_reward(CLI::App& train, Context& context);
void add_train_grpo(CLI::App& train, Context& context);

}  // namespace precept
