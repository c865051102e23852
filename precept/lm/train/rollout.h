#pragma once
// Answers of the policy while it is trained.

#include <memory>
#include <string>
#include <vector>

#include "precept/lm/train/course.h"
#include "precept/text/chat_codec.h"

namespace precept {

// Where answers come from. How the weights get there is its own matter.
class RolloutSource {
 public:
  virtual ~RolloutSource() = default;
  // From here on answers are those of these weights: BatchTrainer::weights().
  virtual Status take(const std::vector<float>& weights) = 0;
  // In the order of the requests. An Error of one is an Error of all.
  virtual Result<std::vector<Generation>> sample(std::vector<GenerateRequest> requests) = 0;
};

// The engine, opened anew on a checkpoint of every weights that it takes. The files lie in the folder `name` of the resumable state
// (where there is none, of one beside temporary files) and go with it; what a kill leaves, the session that resumes takes over.
Result<std::unique_ptr<RolloutSource>> reopened_engine(const LessonStart& start, const std::string& name);

// Tokenizer and chat of the checkpoint that a training starts from.
Result<TokenizerFiles> policy_files(const TrainOptions& options);

// The prompt's tokens and the answer's, of which the answer's have weight 1. Error: the prompt cannot be rendered.
Result<TrainExample> rollout_example(const TokenizerFiles& files, const Conversation& prompt, const Generation& answer);

// An answer as its reward sees it.
Rollout rollout_of(RolloutPrompt prompt, int sample, const Generation& answer);

}  // namespace precept
