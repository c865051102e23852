#pragma once
// The one list of the options of reinforcement learning, and its prompts.

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

// The prompts as the trainer takes them; the digest is of them and of what rewards them.
PromptSet prompt_set(const std::vector<Prompt>& prompts, const std::string& reward_digest);

}  // namespace precept
