#pragma once
// From what a judge says to verdicts. Form is taken as it comes, content is not guessed: what cannot be
// read is kUnparseable.

#include <string_view>
#include <vector>

#include "precept/model/model.h"
#include "precept/revise/templates.h"
#include "precept/store/run_store.h"

namespace precept {

// Log-probabilities of "yes" and "no", one question a principle: p = e^yes / (e^yes + e^no); kYes from
// `threshold` on. A probability that is undefined (not a number, both impossible) is kUnparseable.
// A wrong number of questions or options is an Error of the backend.
Result<std::vector<Verdict>> read_scores(const Scores& scores, const Principles& principles, double threshold);

// An answer to select_list or judge_list: one line a principle, "1: yes", "Rule 2 - complies",
// "**3.** Violates (it insults)", "4：是". Lines that are not of this form are passed over; a number said
// twice in two ways, or not at all, is kUnparseable. One principle alone may go without number.
// What comes before a last "</think>" is not part of the answer.
std::vector<Verdict> read_list(StepKind kind, std::string_view answer, const Principles& principles);

}  // namespace precept
