#pragma once
// The one list of the loop's options: flags, help, checks and recipes come from it.

#include "precept/core/fields.h"
#include "precept/revise/revise.h"

namespace precept {

template <class Visit>
void for_each_field(ReviseOptions& o, Visit visit) {
  const FieldRule probability = between(0, 1), temperature = between(0, 10), tokens = between(1, 1e6);
  visit("max_rounds", o.max_rounds, "critiques and revisions of one item at most", between(0, 100));
  visit("selection", o.selection, "which principles: applicable (asked of the model) or random", one_of({"applicable", "random"}));
  visit("revise_compliant", o.revise_compliant, "revise without judging, max-rounds times (the 2022 paper's way)");
  visit("select_threshold", o.select_threshold, "a principle applies from this probability on", probability);
  visit("violation_threshold", o.violation_threshold, "a reply violates from this probability on", probability);
  visit("principles_per_round", o.principles_per_round, "violated principles addressed in one round", between(1, 1000));
  visit("seed", o.seed, "seed of all sampling", any_seed());
  visit("draft_temperature", o.draft_temperature, "of drafts; 0 is greedy", temperature);
  visit("draft_top_p", o.draft_top_p, "nucleus of drafts, in (0, 1]", above(0, 1));
  visit("draft_max_tokens", o.draft_max_tokens, "longest draft", tokens);
  visit("critique_temperature", o.critique_temperature, "of critiques; 0 is greedy", temperature);
  visit("critique_max_tokens", o.critique_max_tokens, "longest critique", tokens);
  visit("revision_temperature", o.revision_temperature, "of revisions; 0 is greedy", temperature);
  visit("revision_max_tokens", o.revision_max_tokens, "longest revision", tokens);
  visit("list_max_tokens", o.list_max_tokens, "longest list of verdicts, where the judge has no log-probs", tokens);
  visit("concurrency", o.concurrency, "items in flight (changes no result)", beside(between(1, 1e6)));
  visit("give_up_after", o.give_up_after, "failed items in a row that end the run; 0: never (changes no result)",
        beside(between(0, 1e9)));
}

}  // namespace precept
