#pragma once
// The loop's own requests, handed to the evaluation of the judge: what is measured is what the loop asks.

#include "precept/evaluate/judge.h"
#include "precept/revise/templates.h"

namespace precept {

// `templates` is copied.
JudgeRequests judge_requests(const Templates& templates);

}  // namespace precept
