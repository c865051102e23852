#pragma once
// Rounds of recursive alignment, as `precept align` runs them: SL, then again and again labels, reward model, RL, where the aligned
// model of a round judges the next one; between rounds a panel that nothing trains on decides go on, stop, or roll back.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/grpo_fields.h"
#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/evaluate/round_decision.h"
#include "precept/lm/api.h"

namespace precept {

struct AlignOptions {
  std::string model = "pocket";          // pocket, or a checkpoint folder
  std::string out = "runs/align";        // the run folder
  std::string constitution;
  std::string prompts;                   // empty: `pocket_prompts` of the training part of the pocket world
  int pocket_prompts = 1000;
  int rounds = 2;
  bool sl = true;                        // the loop and fine-tuning before the first round
  std::string judged_by = "previous";    // round r: the aligned model of round r - 1; or "base"
  int panel = 4000;                      // prompts of the panel
  std::string panel_labels;              // instead: a file of labelled pairs
  int judge_cases = 400;                 // prompts of the panel on which the judge of each round is measured
  std::uint64_t seed = 1;
  int sl_epochs = 3;
  double sl_lr = 1e-3;
  int label_samples = 4;
  int reward_epochs = 2;
  double reward_lr = 3e-4;
  double judge_weight = 1, reward_model_weight = 0.05;
  RlOptions rl;
  bool guard = true;                     // the guards within a round
  int poison_round = 0;                  // a drill: in this round what is rewarded is turned round; 0: never
  std::string precision = "auto";
  std::string device = "cpu";            // of all but what reward models score
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
  visit("panel_labels", o.panel_labels, "for other worlds: pairs with labels (JSONL, as for label --given) that decide instead");
  visit("judge_cases", o.judge_cases, "prompts of the panel on which the judge of each round is measured; 0: it is not", between(0, 1e6));
  visit("seed", o.seed, "seed of everything", any_seed());
  visit("sl_epochs", o.sl_epochs, "passes of the fine-tuning", between(1, 10'000));
  visit("sl_lr", o.sl_lr, "highest learning rate of the fine-tuning", above(0, 10));
  visit("label_samples", o.label_samples, "answers to one prompt that are compared", between(2, 64));
  visit("reward_epochs", o.reward_epochs, "passes of the reward model over the labels", between(1, 10'000));
  visit("reward_lr", o.reward_lr, "highest learning rate of the reward model", above(0, 10));
  visit("judge_weight", o.judge_weight, "what the judge counts in the reward", between(0, 1e6));
  visit("reward_model_weight", o.reward_model_weight, "what the reward model counts; 0: none is trained", between(0, 1e6));
  for_each_field(o.rl, visit);
  visit("guard", o.guard, "watch for collapse within a round, and stop and roll back what breaks a limit");
  visit("poison_round", o.poison_round, "a drill: in this round what is rewarded is turned round, which the panel must notice; 0: never", between(0, 100));
  visit("precision", o.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("device", o.device, kTrainDeviceHelp);
  visit("threads", o.threads, "threads; 0: all cores (changes no result)", beside(between(0, 1024)));
  visit("batch", o.batch, "sequences decoded together (changes no result)", beside(between(1, 4096)));
}

using NamedRates = std::vector<std::pair<std::string, Estimate>>;

struct RoundResult {
  int round = 0;
  RoundDecision decision = RoundDecision::kGoOn;
  std::string why;            // one sentence
  std::string model, digest;  // what the round made
  std::string kept;           // folder: of this round where it goes on, else where it began
  NamedRates rates;           // of what it made, on the panel
  std::string judge;          // folder of the model that judged
  std::optional<Estimate> judge_selects, judge_judges;  // its accuracy on the panel, where it was measured
  std::string reward_model;   // folder; empty: none was trained
  std::string halted;         // by a guard
};

struct AlignResult {
  NamedRates base, start;     // on the panel: the model given, and before the first round
  std::vector<RoundResult> rounds;
  std::string model, digest;  // what is kept in the end
};

// Resumes what was interrupted: stages whose results are there are not run again.
Result<AlignResult> run_align(const LmApi& lm, const AlignOptions& options, const EventSink& events);

}  // namespace precept
