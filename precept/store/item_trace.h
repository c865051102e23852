#pragma once
// The steps of one item on its way: each is found in the run store, or made and put there.

#include <optional>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/store/run_store.h"

namespace precept {

struct ItemTrace {
  RunItem item;
  std::vector<StepRecord> steps;  // stored ones first (on a resume), then new ones
  int repeated = 0;               // steps that were found in the store
  std::optional<Error> limit;     // a ceiling ended it: it stays pending, and later goes on where it is

  // How it ended, or why it could not: kFailed with the reason, or the limit.
  void end(const Result<Ending>& ending);
};

// What all items of a run write to. It and the store outlive them.
struct StepLog {
  RunStore& store;
  Status storage = {};     // the first error of the store, or of what it holds: ends the run
  std::int64_t made = 0;   // steps that were made so far, not found

  // The stored step, or nullptr; an Error, and one of `storage`, when it was made from other inputs.
  Result<const StepRecord*> recall(ItemTrace& trace, StepKind kind, int round, const std::string& inputs);
  // A stored step that cannot be gone on with ends the run: "the stored KIND step of item ID (round N) WHAT".
  tl::unexpected<Error> refuse(const ItemTrace& trace, StepKind kind, int round, const std::string& what, const std::string& hint);
  // A step that was just made; item and time are filled in here.
  Status keep(ItemTrace& trace, StepRecord step);
};

}  // namespace precept
