#pragma once
// A panel where no oracle rules: pairs of answers of which somebody said which is better. Does the model, as a writer, hold the better
// one likelier, and does it, as a judge by the constitution, find the better one better?

#include <optional>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/constitution/pairs.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/evaluate/compare.h"
#include "precept/evaluate/judge.h"
#include "precept/model/model.h"

namespace precept {

struct PairOutcome {
  // The better answer has the higher log-probability a byte, given the prompt; undefined: too long, or equal.
  std::optional<bool> prefers;
  // The principle that the better answer keeps least is kept more probably than that which the other keeps least, of those that the
  // judge says apply; undefined: none applies, equal, or unreadable.
  std::optional<bool> judges;
};

struct PairReading {
  std::string model_digest, pairs_digest;
  std::vector<PairOutcome> outcomes;  // in the order of the pairs

  Estimate preference() const;
  Estimate judgment() const;
};

// A label below 0.5 turns the pair round; one of 0.5 says nothing, and the pair is unscored. The model must score whole texts.
// `in_flight` pairs at a time. Emits kProgress, stage "panel".
Result<PairReading> evaluate_pairs(Model& model, const std::vector<AnswerPair>& pairs, const Constitution& constitution,
                                   const JudgeRequests& requests, const EventSink& events = {}, int in_flight = 64);

// "preference" and "judgment", pair by pair; both are better when they rise. Both readings are of the same pairs.
std::vector<PairedRate> compare(const PairReading& before, const PairReading& after);

std::string to_json(const PairReading& reading);
Result<PairReading> load_pair_reading(const std::string& path);

}  // namespace precept
