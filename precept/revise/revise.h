#pragma once
// The loop (docs/architecture.md): select the principles that apply, draft, judge; keep the draft
// where it complies, else critique, revise and judge again, up to max_rounds.
// Source: Bai et al. 2022, arXiv 2212.08073, section 3; selection = "random" with revise_compliant =
// true is that paper's loop (a random principle each round, always rewriting).

#include <cstdint>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/constitution/prompts.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/core/task.h"
#include "precept/model/model.h"
#include "precept/revise/templates.h"
#include "precept/store/run_store.h"
#include "precept/store/walk.h"

namespace precept {

struct ReviseOptions {
  int max_rounds = 4;                     // critiques and revisions of one item at most
  std::string selection = "applicable";   // or "random": principles_per_round random ones
  bool revise_compliant = false;          // critique and revise without judging, max_rounds times
  double select_threshold = 0.5;          // a principle applies from this probability on
  double violation_threshold = 0.5;       // a reply violates from this probability on
  int principles_per_round = 1;           // violated principles addressed in one round, most important first
  std::uint64_t seed = 0;
  double draft_temperature = 1.0;
  double draft_top_p = 1.0;
  int draft_max_tokens = 256;
  double critique_temperature = 0.0;      // 0: greedy
  int critique_max_tokens = 128;
  double revision_temperature = 0.0;
  int revision_max_tokens = 256;
  int list_max_tokens = 256;              // answer to select_list / judge_list, where a model cannot score
  int concurrency = 1024;                 // items in flight; changes no result
  int give_up_after = 256;                // failed items in a row that end the run; 0: never; changes no result
};

// Values out of range, as a usage error; and what the options are worth as recipe lines.
Status check(const ReviseOptions& options);

// Everything that decides the results, as lines "key = value": options (without those that change no result), digests
// of constitution and templates, model digests. The prompts are checked by RunStore::set_items.
std::string revise_recipe(const ReviseOptions& options, const Constitution& constitution,
                          const ModelInfo& policy, const ModelInfo& judge);

// The prompts of a file as the items of a run, for RunStore::set_items.
std::vector<RunItem> items_of(std::vector<Prompt> prompts);

// What an item needs of its run. All references outlive the items.
struct ReviseRun {
  const ReviseOptions& options;
  const Constitution& constitution;
  const Templates& templates;
  Model& policy;      // drafts, critiques, revises
  Model& judge;       // selects, judges; may be the policy itself
  StepLog log;        // every finished step goes here
};

// Runs one item to its end. A failed request gives Ending::kFailed with its reason.
Task<ItemTrace> revise_item(ReviseRun& run, ItemTrace trace);

// Walks all open items of the store (precept/store/walk.h: events, errors, what a kill loses) as stage "revise".
Result<WalkResult> revise(const Constitution& constitution, const ReviseOptions& options, Model& policy,
                            Model& judge, RunStore& store, const EventSink& events);

}  // namespace precept
