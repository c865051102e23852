#pragma once
// Options and plain data of training by preferences and rewards; part of the public face of the language models (api.h).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/message.h"

namespace precept {

// Formulas: precept/lm/train/objective.h.
struct PreferenceOptions {
  std::string loss = "sigmoid";  // DPO; or "ipo"
  double beta = 0.1;
  double label_smoothing = 0;    // above 0: conservative DPO
};

struct RewardOptions {
  double center = 0.01;          // of the squared sum of a pair's rewards
};

struct GrpoOptions {
  int prompts_per_step = 32;
  int samples = 8;               // answers to one prompt
  int updates = 1;               // optimiser steps on one batch of answers
  int max_new_tokens = 96;
  double temperature = 1.0;      // of the answers; the ratios are those of temperature 1
  std::string advantage = "grpo";    // "dr", "rloo"
  std::string average = "sequence";  // "token", "constant"
  double clip_low = 0.2, clip_high = 0.2;
  double kl_coef = 0.04;
  bool dynamic_sampling = false;     // DAPO: prompts whose answers are all worth the same are replaced by others
  int max_resamples = 4;             // ... at most so many times the prompts of a step are drawn
};

// The prompts of RL, in any order; `prompt(i)` is pure.
struct RolloutPrompt {
  std::string id;
  Conversation messages;
};
struct PromptSet {
  std::uint64_t count = 0;
  std::function<RolloutPrompt(std::uint64_t)> prompt;
  std::string digest;  // as TrainSet::digest; of the rewards too
};

// One answer of the policy, for its reward.
struct Rollout {
  RolloutPrompt prompt;
  int sample = 0;
  std::string text;
  std::int64_t tokens = 0;
  bool cut = false;
};
struct RolloutReward {
  std::optional<double> total;                            // undefined: unscored; the answer is left out of the update
  std::vector<std::pair<std::string, double>> terms;      // those that are defined, for the log
  int judgments = 0, unparseable = 0;                     // of a judge, where one was asked
};
using RewardFunction = std::function<Result<std::vector<RolloutReward>>(const std::vector<Rollout>&)>;

// How often answers are right by a measure that nothing is trained on.
struct TruthReading {
  std::int64_t right = 0, n = 0;
};

// Guards against collapse and against rewards that part from the truth (Goodhart). Every `every` steps the policy answers
// `prompts`; what it says is compared with what the policy said before the first step. A limit that is broken `patience` times
// in a row stops the training, and what is written are the last weights that broke none. 0 switches a limit off.
struct GuardOptions {
  bool on = true;
  int every = 10;
  int patience = 2;
  double min_entropy_share = 0.25;     // mean -log p of a token of its own answers, as a share of that at the start
  double min_distinct_share = 0.4;     // distinct pairs of tokens / pairs, likewise
  double max_repeated_endings = 0.35;  // share of answers that end in the same five tokens as another: how much more
  double min_length_share = 0.4;       // mean tokens of an answer, as a share of that at the start
  double max_length_share = 2.5;
  double max_kl = 2.0;                 // mean k3 to the reference, nats a token (where there is a reference)
  double max_unparseable = 0.2;        // share of judgments that could not be read
  double max_truth_fall = 0.05;        // how far the truth may fall below its best while the reward does not fall
  // What is asked. Without prompts nothing is measured but what needs none.
  std::vector<RolloutPrompt> prompts;
  int max_new_tokens = 96;
  std::function<Result<TruthReading>(const std::vector<Rollout>&)> truth;  // may be empty
};

}  // namespace precept
