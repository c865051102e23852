#pragma once
// Next-token training of a Llama-architecture model on weighted sequences (pretraining and SFT).
//
// The forward and backward passes see weights rounded to bf16 once a step (what the checkpoint will
// hold); products are of bf16 factors with fp32 sums where the processor has such an instruction, else of
// fp32 (TrainOptions::precision). The masters, the moments and every sum are fp32 or wider. Sequences lie packed end to end without padding and
// attention runs per sequence, so neither batch layout nor padding can leak into a loss. Gradients are
// summed over TrainOptions::lanes in a fixed order: the same bits for every number of threads.
//
// With TrainOptions::lora the checkpoint's weights stay as they are (not rounded either), and an adapter is trained
// beside them; of it the passes see the fp32 masters, which its file will hold.
//
// The learning rate follows the share of examples consumed, so the number of steps need not be known. All trainers share
// their steps (course.h); guards stop what collapses (GuardOptions).

#include "precept/lm/api.h"

namespace precept {

// See LmApi::train. Progress counts examples (all epochs). `set.example` is called from one other
// thread, in the shuffled order, one or two batches ahead. Errors: kBadInput for a checkpoint,
// tokenizer, example or state that does not fit; kFailed for disk trouble and for a loss or gradient
// that is not finite (names the step; nothing is written over the last good state).
Result<TrainSummary> train(const TrainOptions& options, const TrainSet& set, const EventSink& sink);

// Direct preference optimisation on pairs, and the reward model of them: see LmApi and objective.h. An example's weights say which
// tokens are the answer. The reference of DPO is the start, whose log-probabilities are computed once.
Result<TrainSummary> train_preferences(const TrainOptions& options, const PreferenceOptions& preference, const TrainSet& pairs,
                                       const EventSink& sink);
Result<TrainSummary> train_reward(const TrainOptions& options, const RewardOptions& reward, const TrainSet& pairs, const TrainSet& held_out,
                                  const EventSink& sink);
Result<std::unique_ptr<RewardModel>> open_reward(const std::string& folder, int threads);

// Reinforcement learning on answers of the policy itself.
Result<TrainSummary> train_grpo(const TrainOptions& options, const GrpoOptions& grpo, const PromptSet& prompts, const RewardFunction& reward,
                                const EventSink& sink);

}  // namespace precept
