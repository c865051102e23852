#pragma once
// Rounds of recursive alignment, as `precept align` runs them: SL, then again and again labels, reward model, RL, where the aligned
// model of a round judges the next one; between rounds a panel that nothing trains on decides go on, stop, or roll back.

#include <optional>
#include <string>
#include <vector>

#include "cli/grpo_fields.h"
#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/evaluate/round_decision.h"
#include "precept/feedback/labels.h"
#include "precept/lm/api.h"

namespace precept {

struct AlignOptions {
  std::string model = "pocket";          // pocket, or a checkpoint folder
  std::string out = "runs/align";        // the run folder
  std::string constitution;
  std::string prompts;                   // empty: `pocket_prompts` of the training part of the pocket world
  int pocket_prompts = 600;
  int rounds = 2;
  bool sl = true;                        // the loop and fine-tuning before the first round
  std::string judged_by = "previous";    // round r: the aligned model of round r - 1; or "base"
  int panel = 600;                       // prompts of the panel
  std::uint64_t seed = 1;
  int sl_epochs = 3;
  double sl_lr = 1e-3;
  int label_samples = 4;
  int reward_epochs = 2;
  double reward_lr = 3e-4;
  double reward_model_weight = 0.1, judge_weight = 1;
  int rl_epochs = 1;
  double rl_lr = 2e-4;
  GrpoOptions grpo;
  int poison_round = 0;                  // a drill: in this round what is rewarded is turned round; 0: never
  std::string precision = "auto";
  int threads = 0, batch = 64;
};

template <class Visit>
void for_each_field(AlignOptions& o, Visit visit) {
  visit("model", o.model, "pocket, or a checkpoint folder to align");
  visit("out", o.out, "run folder", beside());
  visit("constitution", o.constitution, "constitution file (default: the one that comes with Precept)");
  visit("prompts", o.prompts, "prompts file, JSONL (default: prompts of the pocket world)");
  visit("pocket_prompts", o.pocket_prompts, "... so many of them, from its training part", between(1, 1e6));
  visit("rounds", o.rounds, "rounds of labels, reward model and reinforcement learning", between(1, 100));
  visit("sl", o.sl, "the loop and fine-tuning on its final answers, before the first round");
  visit("judged_by", o.judged_by, "who judges a round: previous (the model that the round before made) or base", one_of({"previous", "base"}));
  visit("panel", o.panel, "prompts of the pocket world on which the oracle decides between rounds", between(1, 1e6));
  visit("seed", o.seed, "seed of everything", any_seed());
  visit("sl_epochs", o.sl_epochs, "passes of the fine-tuning", between(1, 10'000));
  visit("sl_lr", o.sl_lr, "highest learning rate of the fine-tuning", above(0, 10));
  visit("label_samples", o.label_samples, "answers to one prompt that are compared", between(2, 64));
  visit("reward_epochs", o.reward_epochs, "passes of the reward model over the labels", between(1, 10'000));
  visit("reward_lr", o.reward_lr, "highest learning rate of the reward model", above(0, 10));
  visit("reward_model_weight", o.reward_model_weight, "what the reward model counts; 0: none is trained", between(0, 1e6));
  visit("judge_weight", o.judge_weight, "what the judge's own verdict counts", between(0, 1e6));
  visit("rl_epochs", o.rl_epochs, "passes over the prompts in reinforcement learning", between(1, 1000));
  visit("rl_lr", o.rl_lr, "highest learning rate of reinforcement learning", above(0, 10));
  for_each_field(o.grpo, visit);
  visit("poison_round", o.poison_round, "a drill: in this round what is rewarded is turned round, which the panel must notice; 0: never", between(0, 100));
  visit("precision", o.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("threads", o.threads, "threads; 0: all cores (changes no result)", beside(between(0, 1024)));
  visit("batch", o.batch, "sequences decoded together (changes no result)", beside(between(1, 4096)));
}

struct RoundResult {
  int round = 0;
  RoundDecision decision = RoundDecision::kGoOn;
  std::string why;            // one sentence
  std::string model;          // folder that the round made
  std::string kept;           // of this round where it goes on, else where it began
  Estimate violation_rate, helpfulness, over_refusal;  // of what it made, on the panel
  std::string halted;         // by a guard
};

struct AlignResult {
  std::vector<RoundResult> rounds;
  std::string model;  // folder of the model that is kept in the end
};

// Resumes what was interrupted: stages whose results are there are not run again.
Result<AlignResult> run_align(const LmApi& lm, const AlignOptions& options, const EventSink& events);

}  // namespace precept
