#pragma once
// The guards' judgment: from what was measured of a policy, step after step, to "go on" or a sentence that says why not.
// Pure; what is measured where is in probe.h.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "precept/lm/rl_options.h"

namespace precept {

// One look at what is trained. Undefined: not measured here.
struct Reading {
  std::int64_t step = 0;
  std::optional<double> entropy, distinct, repeated_endings, length;  // see GuardOptions
  std::optional<double> kl, unparseable;
  std::optional<double> reward;                  // what the training raises: mean reward, or minus the loss
  std::optional<double> truth;                   // share that is right by a measure of its own
  std::int64_t truth_n = 0;
};

// Calls visit(name, number) for the optional numbers of a (const or not) Reading.
template <class R, class Visit>
void each_number(R& r, const Visit& visit) {
  visit("entropy", r.entropy);
  visit("distinct", r.distinct);
  visit("repeated_endings", r.repeated_endings);
  visit("length", r.length);
  visit("kl", r.kl);
  visit("unparseable", r.unparseable);
  visit("reward", r.reward);
  visit("truth", r.truth);
}

// The answers of one look, as tokens without end token, and the log-probabilities of all their tokens.
struct ProbedAnswer {
  std::vector<std::int32_t> tokens;
  std::vector<float> logprobs;
};
// Fills entropy, distinct, repeated_endings and length.
void measure_answers(const std::vector<ProbedAnswer>& answers, Reading& reading);

// Which limits the last reading breaks, as one sentence; empty: none. `readings[0]` is the start; not empty.
std::string broken_limits(const GuardOptions& options, const std::vector<Reading>& readings);

// broken_limits of the last `patience` readings: the sentence of the last, when all of them broke one.
std::string halting_reason(const GuardOptions& options, const std::vector<Reading>& readings);

}  // namespace precept
