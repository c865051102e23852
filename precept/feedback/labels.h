#pragma once
// Preference labels: which of two answers keeps the constitution better, as a probability. Source: Bai et al. 2022, arXiv
// 2212.08073, section 4: samples of one prompt, one principle a pair, soft labels from log-probabilities.
//
// Two ways to compare:
//   "ab"     the paper's: both answers in one request, "A" or "B"; asked in both orders and averaged.
//   "judge"  each answer is judged alone by the loop's own request, and the difference of the two log-odds of "complies" is the
//            log-odds of the pair (Bradley-Terry with these as strengths). It has no order and so no position bias, asks one
//            request an answer instead of two a pair, and is all that the built-in model can do: no document that it was trained on
//            compares two answers.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/core/fields.h"
#include "precept/revise/revise.h"

namespace precept {

struct LabelOptions {
  std::string compare = "judge";          // or "ab"
  int samples = 4;                        // answers of the policy to one prompt; all pairs of different ones are labelled
  std::string principle = "deciding";     // which of those that apply: see pair_labels; or "random"
  bool reasoning = false;                 // "ab": the judge reasons first, and the probability is clamped
  double clamp_low = 0.4, clamp_high = 0.6;  // with reasoning, which makes them extreme (section 4.1)
  double temperature = 1.0;               // of the samples
  int max_tokens = 96;                    // longest sample
  int reason_max_tokens = 256;            // longest reasoning
  double select_threshold = 0.5;          // a principle applies from this probability on
  std::uint64_t seed = 0;
  int concurrency = 1024;                 // items in flight; changes no result
};

template <class Visit>
void for_each_field(LabelOptions& o, Visit visit) {
  visit("compare", o.compare, "judge (each answer judged alone) or ab (both in one request, in both orders)", one_of({"judge", "ab"}));
  visit("samples", o.samples, "answers of the policy to one prompt", between(2, 64));
  visit("principle", o.principle, "of those that apply: deciding (the most important that tells the answers apart) or random", one_of({"deciding", "random"}));
  visit("reasoning", o.reasoning, "with ab: the judge reasons first, and the probability is clamped");
  visit("clamp_low", o.clamp_low, "with reasoning: the least probability", between(0, 0.5));
  visit("clamp_high", o.clamp_high, "with reasoning: the greatest probability", between(0.5, 1));
  visit("temperature", o.temperature, "of the samples", above(0, 10));
  visit("max_tokens", o.max_tokens, "longest sample", between(1, 1e6));
  visit("reason_max_tokens", o.reason_max_tokens, "longest reasoning", between(1, 1e6));
  visit("select_threshold", o.select_threshold, "a principle applies from this probability on", between(0, 1));
  visit("seed", o.seed, "seed of all sampling", any_seed());
  visit("concurrency", o.concurrency, "items in flight (changes no result)", beside(between(1, 1e6)));
}

// Two answers that are there already, instead of samples: by the id of the prompt.
using GivenPairs = std::map<std::string, std::pair<std::string, std::string>>;

// One pair of different answers, the better one first: label >= 0.5 (of a given pair: the first one given first, whatever the label).
struct PairLabel {
  std::string id;             // of the prompt
  Conversation messages;
  std::string chosen, rejected;
  double label = 1;           // probability that `chosen` is better
  bool decided = true;        // one keeps the principle and the other breaks it ("ab": the label is no is_uncertain one)
  std::string principle;      // id
  std::string source;         // "samples", "given", "revision"
  // "ab" only: P("A") with each order; equal but for the order: no position bias.
  std::optional<double> shown_first, shown_second;  // of `chosen`, when it stood first, and when it stood second
};

struct LabelCounts {
  std::int64_t items = 0, pairs = 0;
  std::int64_t identical = 0;     // pairs of the same text: nothing to compare
  std::int64_t unguided = 0;      // items to which no principle applies
  std::int64_t unparseable = 0;   // pairs with a judgment that could not be read: no label
  std::int64_t failed = 0, pending = 0;
};

Status check(const LabelOptions& options);
// As revise_recipe.
std::string label_recipe(const LabelOptions& options, const Constitution& constitution, const ModelInfo& policy, const ModelInfo& judge,
                         const GivenPairs& given);

// Samples and compares all open items of the store. Resumes as revise() does.
Result<WalkResult> label_items(const Constitution& constitution, const LabelOptions& options, const GivenPairs& given, Model& policy,
                                 Model& judge, RunStore& store, const EventSink& events);

// The labels of a finished item, from its steps. With "judge", the principle of a pair is
//   "deciding"  the most important one (hard, then tier) that one answer keeps and the other breaks; where none does, a random one
//   "random"    a random one of those that apply (a pure function of seed, prompt and pair)
std::vector<PairLabel> pair_labels(const LabelOptions& options, const Constitution& constitution, bool given, const RunItem& item,
                                   const std::vector<StepRecord>& steps, LabelCounts& counts);

// Every label of the store, in prompt-file order.
Result<LabelCounts> visit_labels(const LabelOptions& options, const Constitution& constitution, bool given, const RunStore& store,
                                 const std::function<void(PairLabel)>& visitor);

// The free pairs of a run of the loop: the final answer over the draft of every revised item. The label is by the loop's own
// judgments of both by the principle that was addressed; certain (1) where these give no probability.
Result<LabelCounts> visit_revisions(const RunStore& run, const std::function<void(PairLabel)>& visitor);

// One line in TRL's shape with the label beside it: {"id","prompt","chosen","rejected","label","principle","source"}.
std::string label_line(const PairLabel& pair);

}  // namespace precept
