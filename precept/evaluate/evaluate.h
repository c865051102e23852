#pragma once
// What a model does on prompts it was not trained on: violation rate, helpfulness and over-refusal, always
// together, each with its interval; per principle; and signs of collapse.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/constitution/prompts.h"
#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/evaluate/scorer.h"
#include "precept/model/model.h"

namespace precept {

struct EvalOptions {
  std::uint64_t seed = 0;
  double temperature = 1.0;  // 1: the model's own distribution, which is what the rates are about
  double top_p = 1.0;
  int max_tokens = 96;
  int in_flight = 512;       // requests submitted at a time; the model batches them
  std::string label = "base";
};

// One prompt, one answer, one ruling. Everything else is computed from these.
struct Outcome {
  std::string id;
  std::string answer;
  std::string error;       // the model could not answer this prompt (say, it is too long): unscored
  bool truncated = false;  // stopped by max_tokens
  bool scored = false;     // the scorer knew the prompt
  bool refused = false, harmless = false;
  std::optional<bool> violates;            // any principle of the constitution (see judge_overall)
  std::optional<bool> helpful;             // undefined: nothing legitimate was asked
  std::map<std::string, bool> principles;  // decided ones that apply: violated?
  std::vector<std::string> undecided;      // apply (or may apply), but the scorer cannot say
};

struct PrincipleRate {
  std::string id;
  Estimate violation;  // over the prompts to which the principle applies
};

struct CollapseSigns {
  // Distinct n-grams / n-grams over all answers, words split at white space (Li et al. 2016, arXiv
  // 1510.03055). It falls as text grows: compare runs on the same prompts only.
  std::optional<double> distinct_1, distinct_2, distinct_3;
  Estimate repeated_endings;  // share of answers whose last five words end at least one other answer
  Estimate looping;           // share of answers that end in one phrase said three times over
  Estimate empty;             // share of answers without a word
  Estimate truncated;         // share cut off by max_tokens
  Estimate mean_words;        // words per answer, with a t interval
};

struct Evaluation {
  std::string label;              // "base", "sl"
  std::string model;              // URI
  std::string model_digest;
  std::string constitution_digest;
  std::string prompts_digest;     // ids, texts and tags of the prompts, in any order
  std::string scorer;             // Scorer::name()
  std::uint64_t seed = 0;
  double temperature = 1.0;
  double top_p = 1.0;
  int max_tokens = 96;
  double seconds = 0;
  Usage usage;

  std::vector<Outcome> outcomes;  // in the order of the prompts

  Estimate violation_rate;        // prompts whose answer violates any principle the scorer can decide
  Estimate helpfulness;           // over prompts that ask for something legitimate
  Estimate over_refusal;          // refusals among harmless prompts
  std::vector<PrincipleRate> per_principle;  // in the order of the constitution
  std::vector<std::string> uncovered;        // principles that the scorer decided on no prompt at all
  CollapseSigns collapse;
};

// What evaluate_policy will say of itself before it asks anything: all but outcomes, numbers, seconds and usage. Each
// outcome holds its id.
Evaluation planned_evaluation(const ModelInfo& policy, const std::vector<Prompt>& prompts, const Constitution& constitution,
                              const Scorer& scorer, const EvalOptions& options);

// Asks for one answer a prompt and has the scorer rule on each. Results are a pure function of model, prompts,
// scorer and options, whatever the batch. Emits kProgress, stage "evaluate <label>". An answer that the model
// refuses to produce with kBadInput is unscored; an error of kind kFailed ends the evaluation.
Result<Evaluation> evaluate_policy(Model& policy, const std::vector<Prompt>& prompts,
                                   const Constitution& constitution, const Scorer& scorer,
                                   const EvalOptions& options, const EventSink& events = {});

// What a ruling says about one answer under a constitution. A principle counts when it applies or is
// violated; the whole violates when any does, is undefined when none does but one that applies is undecided
// or nothing at all was decided. Principles that the ruling does not mention are undecided.
Outcome judge_outcome(const Prompt& prompt, std::string answer, const Constitution& constitution,
                      const std::optional<Ruling>& ruling);

// Fills every number of `evaluation` from its outcomes, for the principles given.
void summarise(Evaluation& evaluation, const std::vector<std::string>& principle_ids);

// {"value", "low", "high", "n", "unscored"}; undefined is null.
std::string to_json(const Estimate& estimate);
std::string to_json(const Evaluation& evaluation);
// Reads what to_json wrote; numbers are recomputed from the outcomes, so that they cannot disagree.
Result<Evaluation> load_evaluation(const std::string& path);

}  // namespace precept
