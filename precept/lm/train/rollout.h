#pragma once
// Answers of the policy while it is trained.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "precept/lm/infer/engine.h"
#include "precept/lm/train/course.h"
#include "precept/text/chat_codec.h"

namespace precept {

// An engine on the weights that a trainer has in memory (BatchTrainer::open_engine). Not while the trainer computes.
class PolicyEngine {
 public:
  // The trainer is borrowed. Errors: the tokenizer's files, or a tokenizer of another model.
  static Result<std::unique_ptr<PolicyEngine>> open(const LessonStart& start);

  // Answers of the weights as they are now, in the order of the requests. An Error of one is an Error of all.
  Result<std::vector<Generation>> sample(std::vector<GenerateRequest> requests);

 private:
  explicit PolicyEngine(const BatchTrainer& trainer) : trainer_(trainer), version_(trainer.version()) {}

  const BatchTrainer& trainer_;
  std::unique_ptr<infer::Engine> engine_;
  std::uint64_t version_;  // of the weights that the engine's cache was computed with
};

// Tokenizer and chat of the checkpoint that a training starts from.
Result<TokenizerFiles> policy_files(const TrainOptions& options);

// The prompt's tokens and the answer's, of which the answer's have weight 1. Error: the prompt cannot be rendered.
Result<TrainExample> rollout_example(const TokenizerFiles& files, const Conversation& prompt, const Generation& answer);

// An answer as its reward sees it.
Rollout rollout_of(RolloutPrompt prompt, int sample, const Generation& answer);

}  // namespace precept
