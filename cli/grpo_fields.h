#pragma once
// The one list of the options of reinforcement learning, and its prompts.

#include <string>
#include <utility>

#include "precept/constitution/prompts.h"
#include "precept/core/fields.h"
#include "precept/lm/rl_options.h"

namespace precept {

template <class Visit>
void for_each_field(GrpoOptions& o, Visit visit) {
  visit("prompts_per_step", o.prompts_per_step, "prompts of one step", between(1, 1e6));
  visit("samples", o.samples, "answers to one prompt", between(2, 4096));
  visit("updates", o.updates, "optimiser steps on one batch of answers", between(1, 1000));
  visit("max_new_tokens", o.max_new_tokens, "longest answer", between(1, 1e6));
  visit("temperature", o.temperature, "of the answers", above(0, 10));
  visit("advantage", o.advantage, "grpo (by the group's deviation), dr (not: Dr. GRPO) or rloo (against the others)", one_of({"grpo", "dr", "rloo"}));
  visit("average", o.average, "of tokens: sequence (GRPO), token (DAPO) or constant (Dr. GRPO)", one_of({"sequence", "token", "constant"}));
  visit("clip_low", o.clip_low, "least ratio is 1 minus this", above(0, 0.999));
  visit("clip_high", o.clip_high, "greatest ratio is 1 plus this; more than --clip-low: DAPO's clip-higher", above(0, 1000));
  visit("kl_coef", o.kl_coef, "of the distance to the reference (k3); 0: none", between(0, 1000));
  visit("dynamic_sampling", o.dynamic_sampling, "prompts whose answers are all worth the same are replaced (DAPO)");
  visit("max_resamples", o.max_resamples, "... by drawing at most so many times the prompts of a step", between(1, 1000));
}

// Reinforcement learning as one stage of a whole run, with the settings that did best (docs/experiments.md): nearly all answers of a
// fine-tuned model keep every principle. What there is to learn lies in the few groups of answers of which some do and some do not;
// the others, and how sure the judge is of what is fine, would only add noise.
struct RlOptions {
  int epochs = 3;
  double lr = 1e-4;
  bool judge_verdicts = true;
  double min_spread = 0.5;  // of the verdict's 1 and 0: what smaller terms say of answers that are alike in it is no reason to learn
  GrpoOptions grpo = verdict_grpo();

  static GrpoOptions verdict_grpo() {
    GrpoOptions o;
    o.dynamic_sampling = true;
    o.advantage = "dr";
    o.average = "constant";
    o.kl_coef = 0.02;
    return o;
  }
};

// Their names begin with rl_.
template <class Visit>
void for_each_field(RlOptions& o, Visit visit) {
  const auto rl = [&visit](const std::string& name, auto& value, const char* help, FieldRule rule = any()) {
    visit(("rl_" + name).c_str(), value, help, std::move(rule));
  };
  rl("epochs", o.epochs, "passes over the prompts in reinforcement learning", between(1, 1000));
  rl("lr", o.lr, "highest learning rate of reinforcement learning", above(0, 10));
  rl("judge_verdicts", o.judge_verdicts, "the judge rewards by its verdict, 1 or 0, not by the probability");
  rl("min_spread", o.min_spread, "answers to one prompt whose rewards differ by no more than this are worth the same", between(0, 1e6));
  for_each_field(o.grpo, rl);
}

// The prompts as the trainer takes them; the digest is of them and of what rewards them.
PromptSet prompt_set(const std::vector<Prompt>& prompts, const std::string& reward_digest);

}  // namespace precept
