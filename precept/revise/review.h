#pragma once
// The judging half of the loop by itself: which principles apply to a conversation, and which of them a reply violates.
// Nothing is stored, nothing is rewritten.

#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/core/task.h"
#include "precept/model/model.h"
#include "precept/revise/templates.h"
#include "precept/store/run_store.h"

namespace precept {

struct ReviewOptions {
  double select_threshold = 0.5, violation_threshold = 0.5;  // as in ReviseOptions
  int list_max_tokens = 512;                                 // for judges without log-probs
};

// One verdict for each principle that applies, or of which the answer could not be read.
struct Review {
  std::vector<Verdict> verdicts;  // kYes: violated
  Usage usage;

  bool violates() const;
  bool unreadable() const;  // some verdict is kUnparseable
};

// `judge`, `constitution` and `templates` must outlive the task.
Task<Result<Review>> review(Model& judge, const Constitution& constitution, const Templates& templates, Conversation messages,
                            std::string reply, ReviewOptions options = {});

}  // namespace precept
