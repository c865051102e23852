// precept train reward: a reward model from labelled pairs.

#include <memory>

#include "cli/lm_library.h"
#include "cli/metrics_log.h"
#include "cli/pair_set.h"
#include "cli/rl_stages.h"
#include "cli/train_command.h"
#include "precept/core/io.h"

namespace precept {
namespace {

struct RewardCommand : TrainCommand {
  RewardOptions reward;
  double held_out_share = 0.1;
};

template <class Visit>
void for_each_field(RewardCommand& o, Visit visit) {
  visit("model", o.model, "pocket, or a checkpoint folder to start from");
  visit("data", o.data, "JSONL with prompt, chosen, rejected and perhaps label, or hh-rlhf pairs (default: labels.jsonl of --run)");
  visit("run", o.run, kRunHelp, beside());
  visit("out", o.out, "folder to write (default: models/reward of --run)", beside());
  visit("held_out_share", o.held_out_share, "of the prompts: never trained on, measured in the end and watched by the guards", between(0, 0.9));
  visit("center", o.reward.center, "of the squared sum of a pair's rewards, which keeps them near 0", between(0, 1000));
  visit_training(o, visit);
  GuardOptions& g = o.train.guard;
  visit("guard", g.on, "watch the accuracy on held-out pairs, and stop and roll back when it falls");
  visit("guard_every", g.every, "steps between looks of the guards", between(1, 1e6));
  visit("guard_patience", g.patience, "looks in a row that break the limit before it stops the training", between(1, 1000));
  visit("max_truth_fall", g.max_truth_fall, "how far the held-out accuracy may fall below its best; 0: no limit", between(0, 1));
}

Result<int> reward(RewardCommand options, const EventSink& events) {
  if (options.data.empty() && options.run.empty()) return bad_input("nothing to train on", "give --data FILE or --run DIR");
  if (options.data.empty()) options.data = options.run + "/labels.jsonl";
  auto pairs = load_pairs(options.data);
  if (!pairs) return tl::unexpected(pairs.error());
  if (const Status ready = prepare(options, "reward"); !ready) return tl::unexpected(ready.error());
  tell_silent_answers(*pairs, reported(options, events));
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const std::string log_folder = options.run.empty() ? options.out : options.run;
  if (const Status made = make_folder(log_folder); !made) return tl::unexpected(made.error());
  MetricsLog metrics(log_folder);
  const auto summary = run_reward_stage(**lm, options, options.reward, options.held_out_share, std::move(*pairs), reported(options, metrics.tee("reward", events)));
  if (!summary) return tl::unexpected(summary.error());
  return conclude_training(options, "reward", fields_of(options), *summary);
}

}  // namespace

void add_train_reward(CLI::App& train, Context& context) {
  CLI::App* command = train.add_subcommand("reward", "a reward model on preference labels (Bradley-Terry, a value head)");
  const auto options = std::make_shared<RewardCommand>();
  options->train.lr = 3e-4;
  options->train.epochs = 2;
  add_recipe_command(*command, context, "reward", options, reward);
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
}

}  // namespace precept
