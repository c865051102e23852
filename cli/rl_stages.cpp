#include "cli/rl_stages.h"

#include "cli/locate.h"
#include "cli/matching_tokenizer.h"
#include "precept/core/digest.h"

namespace precept {

PromptSet prompt_set(const std::vector<Prompt>& prompts, const std::string& reward_digest) {
  auto held = std::make_shared<std::vector<RolloutPrompt>>();
  Sha256 digest;
  digest.update(reward_digest);
  for (const Prompt& prompt : prompts) {
    held->push_back({prompt.id, prompt.messages});
    digest.update(prompt.id + "\n");
    for (const Message& message : prompt.messages) digest.update(message.role + " " + std::to_string(message.content.size()) + " " + message.content);
  }
  return {held->size(), [held](std::uint64_t i) { return (*held)[i]; }, digest.finish()};
}

GrpoStage rl_stage(const RlOptions& rl, TrainCommand& command) {
  command.train.epochs = rl.epochs;
  command.train.lr = rl.lr;
  command.train.weight_decay = 0;
  GrpoStage stage;
  stage.grpo = rl.grpo;
  stage.reward.judge_verdicts = rl.judge_verdicts;
  stage.reward.min_spread = rl.min_spread;
  return stage;
}

Result<TrainSummary> run_grpo_stage(const LmApi& lm, TrainCommand& command, const GrpoStage& stage, const std::vector<Prompt>& prompts,
                                    const EventSink& events) {
  const auto constitution = load_constitution(stage.constitution_file.empty() ? data_path("constitutions/default.toml") : stage.constitution_file);
  if (!constitution) return tl::unexpected(constitution.error());
  OpenOptions open;
  open.engine.threads = command.train.threads;
  open.engine.device = command.train.device;
  // A GPU is the trainer's too: the judge may not take what is free.
  if (command.train.device.rfind("cuda", 0) == 0) open.engine.cache_bytes = std::int64_t{4096} << 20;
  open.engine.max_batch = stage.batch;
  open.events = events;
  const auto rewarder = Rewarder::make(lm, stage.reward, stage.judge.empty() ? command.model : stage.judge, open, *constitution, stage.around_judge);
  if (!rewarder) return tl::unexpected(rewarder.error());
  if (const Status added = add_panel(command, stage.constitution_file, prompts); !added) return tl::unexpected(added.error());
  const RewardFunction rewards = stage.around_rewards ? stage.around_rewards((*rewarder)->function()) : (*rewarder)->function();
  return lm.train_grpo(command.train, stage.grpo, prompt_set(prompts, (*rewarder)->digest()), rewards, events);
}

Result<TrainSummary> run_reward_stage(const LmApi& lm, TrainCommand& command, const RewardOptions& reward, double held_out_share,
                                      std::vector<AnswerPair> pairs, const EventSink& events) {
  const auto files = load_matching_tokenizer(command.train.from);
  if (!files) return tl::unexpected(files.error());
  const auto [trained, held_out] = split_pairs(std::move(pairs), held_out_share, command.train.seed);
  if (trained.empty()) return bad_input("every pair is held out", "lower --held-out-share");
  const auto set = pair_set(trained, *files), rest = pair_set(held_out, *files);
  if (!set || !rest) return tl::unexpected(set ? rest.error() : set.error());
  return lm.train_reward(command.train, reward, *set, *rest, events);
}

}  // namespace precept
