#pragma once
// The whole of Precept on one model, as `precept quickstart` runs it: evaluate, loop, SFT, evaluate, RL, evaluate, report.

#include <cstdint>
#include <optional>
#include <string>

#include "cli/grpo_fields.h"
#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/evaluate/evaluate.h"
#include "precept/lm/api.h"
#include "precept/revise/revise.h"

namespace precept {

struct QuickstartOptions {
  std::string out = "runs/quickstart";  // the run folder
  std::string constitution;             // empty: the default constitution
  int prompts = 2000;                   // prompts of the loop (training part of the pocket world)
  int held_out = 5000;                  // prompts of both evaluations (held-out part)
  int judge_cases = 400;                // held-out prompts on which the judge itself is measured
  std::uint64_t seed = 1;
  int epochs = 3;                       // of SFT
  double lr = 1e-3;                     // of SFT
  int batch_tokens = 4096;              // tokens of one SFT step
  std::string precision = "auto";       // of the products of SFT: bf16 or fp32; auto: bf16 where the processor has it
  std::string selection = "applicable"; // or "random"
  double draft_temperature = 0.7;       // of the loop: drafts that are kept are learnt from; evaluations are at 1
  bool revise_compliant = false;        // with "random": the 2022 paper's loop
  int max_rounds = 4;
  bool rl = true;                       // reinforcement learning after SFT, with the base as judge
  RlOptions reinforce;
  std::string device = "cpu";
  int threads = 0;                      // 0: all cores; changes no result
  int batch = 64;                       // sequences decoded together; changes no result
};

// The one list of these options: flags, help and recipe.toml come from it.
template <class Visit>
void for_each_field(QuickstartOptions& o, Visit visit) {
  visit("out", o.out, "run folder", beside());
  visit("constitution", o.constitution, "constitution file (default: the one that comes with Precept)");
  visit("prompts", o.prompts, "prompts of the loop, from the training part of the pocket world", between(1, 1e6));
  visit("held_out", o.held_out, "prompts of both evaluations, from the held-out part", between(1, 1e6));
  visit("judge_cases", o.judge_cases, "held-out prompts on which the judge itself is measured", between(0, 1e6));
  visit("seed", o.seed, "seed of everything", any_seed());
  visit("epochs", o.epochs, "passes of the fine-tuning", between(1, 10'000));
  visit("lr", o.lr, "highest learning rate of the fine-tuning", above(0, 10));
  visit("batch_tokens", o.batch_tokens, "tokens of one step of the fine-tuning", between(1, 1e9));
  visit("precision", o.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("selection", o.selection, "which principles: applicable (asked of the model) or random", one_of({"applicable", "random"}));
  visit("draft_temperature", o.draft_temperature, "of the drafts; 0 is greedy", between(0, 10));
  visit("revise_compliant", o.revise_compliant, "revise without judging, max-rounds times (the 2022 paper's way)");
  visit("max_rounds", o.max_rounds, "critiques and revisions of one item at most", between(0, 100));
  visit("rl", o.rl, "reinforcement learning after the fine-tuning, with the base model as judge");
  for_each_field(o.reinforce, visit);
  visit("device", o.device, kTrainDeviceHelp);
  visit("threads", o.threads, "threads; 0: all cores (changes no result)", beside(between(0, 1024)));
  visit("batch", o.batch, "sequences decoded together (changes no result)", beside(between(1, 4096)));
}

struct QuickstartResult {
  Evaluation base, sl;
  std::optional<Evaluation> rl;
  std::string halted;  // why a guard stopped reinforcement learning; empty: none did
  std::string report;  // path of report.html
};

// Resumes what was interrupted; a finished run is returned as it is. Refuses a folder that began with other options.
Result<QuickstartResult> run_quickstart(const LmApi& lm, const QuickstartOptions& options, const EventSink& events);

}  // namespace precept
