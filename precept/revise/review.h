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

// What all of the following are given must outlive the task, but for conversations and replies.

// One verdict for each principle of the constitution: kYes, it applies. Adds to `usage`.
Task<Result<std::vector<Verdict>>> review_selection(Model& judge, const Constitution& constitution, const Templates& templates,
                                                    Conversation messages, ReviewOptions options, Usage& usage);
// One verdict for each of these principles, which are not none: kYes, the reply violates it.
Task<Result<std::vector<Verdict>>> review_reply(Model& judge, const Templates& templates, Conversation messages, std::string reply,
                                                Principles principles, ReviewOptions options, Usage& usage);
// Both.
Task<Result<Review>> review(Model& judge, const Constitution& constitution, const Templates& templates, Conversation messages,
                            std::string reply, ReviewOptions options = {});

}  // namespace precept
