#pragma once
// Methods side by side: the same base, prompts, seeds and budget for all, and the same held-out prompts for what they make.

#include <cstdint>
#include <string>
#include <vector>

#include "cli/token_meter.h"
#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/evaluate/pooled.h"
#include "precept/lm/api.h"

namespace precept {

struct CompareOptions {
  std::string out = "runs/compare";  // the folder of the comparison
  std::string model = "pocket";      // pocket, or a checkpoint folder: where all methods begin, and the judge of all
  std::string constitution;          // empty: the default constitution
  int prompts = 600;                 // that methods learn from, of the pocket world's training part
  int held_out = 2000;               // prompts of the evaluations
  std::uint64_t seed = 1;            // the first seed, and the seed of all prompts
  int seeds = 1;                     // runs of each method, seed, seed + 1, ...
  double budget = 0;                 // million passes of a run (TokensSpent); 0: no limit
  bool spend_all = false;            // a method that ends below the budget goes on with further prompts until it is spent
  std::string precision = "auto";
  int threads = 0, batch = 64;
};

template <class Visit>
void for_each_field(CompareOptions& o, Visit visit) {
  visit("out", o.out, "folder of the comparison", beside());
  visit("model", o.model, "pocket, or a checkpoint folder: where all methods begin, and the judge of all");
  visit("constitution", o.constitution, "constitution file (default: the one that comes with Precept)");
  visit("prompts", o.prompts, "prompts that all methods learn from, from the training part of the pocket world", between(1, 1e6));
  visit("held_out", o.held_out, "prompts on which everything is evaluated, from the held-out part", between(1, 1e6));
  visit("seed", o.seed, "first seed of the runs, and the seed of all prompts", any_seed());
  visit("seeds", o.seeds, "runs of each method, with seeds that follow each other", beside(between(1, 100)));
  visit("budget", o.budget, "most that one run may take, in million passes of a token through a model: one for a token generated or read, three "
        "for a token trained; 0: no limit", between(0, 1e9));
  visit("spend_all", o.spend_all, "equal budgets: a method that ends below the budget goes round again, from the model that it has made, with as many "
        "further prompts as the rest pays for");
  visit("precision", o.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("threads", o.threads, "threads; 0: all cores (changes no result)", beside(between(0, 1024)));
  visit("batch", o.batch, "sequences decoded together (changes no result)", beside(between(1, 4096)));
}

struct MethodRun {
  std::uint64_t seed = 0;
  TokensSpent spent;
  int prompts = 0;                // that it learnt from, over all rounds
  std::vector<std::string> notes;
  PooledRates rates;              // of this run alone
};

struct MethodResult {
  std::string id, name, about, stages;
  std::vector<MethodRun> runs;
  PooledRates rates;
  PooledComparison change;        // against the first method; undefined for the first and for the base
  TokensSpent spent;               // mean of the runs
  bool cut() const;               // some run did not go as listed for the budget's sake
};

struct CompareResult {
  std::vector<MethodResult> methods;  // the base first, then in the order given
  std::string report, summary;        // paths
};

Result<CompareResult> run_compare(const LmApi& lm, const CompareOptions& options, const std::vector<std::string>& recipes, const EventSink& events);

}  // namespace precept
