#pragma once
// Stages of feedback and reinforcement learning as functions, for the commands that run one of them and for those that run all.

#include "cli/grpo_fields.h"
#include "cli/pair_set.h"
#include "cli/reward_function.h"
#include "cli/train_command.h"
#include "precept/constitution/constitution.h"

namespace precept {

struct GrpoStage {
  GrpoOptions grpo;
  RewardTerms reward;
  std::string judge;              // model URI; empty: the model that training begins with
  std::string constitution_file;  // empty: the default
  int batch = 64;
  // Put round the judge, and round the rewards, by whoever counts what they take; may be empty.
  std::function<std::unique_ptr<Model>(std::unique_ptr<Model>)> around_judge = {};
  std::function<RewardFunction(RewardFunction)> around_rewards = {};
};

// Of a whole run: `command` gets what its training takes from `rl`; the stage has no judge or constitution yet.
GrpoStage rl_stage(const RlOptions& rl, TrainCommand& command);

// `command` after prepare(). Adds the guards' panel.
Result<TrainSummary> run_grpo_stage(const LmApi& lm, TrainCommand& command, const GrpoStage& stage, const std::vector<Prompt>& prompts,
                                    const EventSink& events);

// Splits the pairs and trains a reward model; likewise.
Result<TrainSummary> run_reward_stage(const LmApi& lm, TrainCommand& command, const RewardOptions& reward, double held_out_share,
                                      std::vector<AnswerPair> pairs, const EventSink& events);

}  // namespace precept
