#pragma once
// Walks every open item of a run store to its end, thousands at once on one thread. What is done with an item is a coroutine that
// awaits answers, of models or of a sandbox; `revise`, `label` and `solve` are walks.
//
// It owns the coroutines on their way, which item is begun next, and the moments of commit. Store, models and sandbox are the
// caller's. What it keeps to:
//   - Items are begun in their order, as many at once as `concurrency` says, and end in any; a place is given on as soon as it is free.
//   - An item knows itself and its stored steps, nothing of others: order and company change no result.
//   - A step of work costs what ended in it, not what is in flight (core/in_flight.h).
//   - An item is finished in the store after its last step, and reported as done after the commit that holds both.
// A kill loses the answers since the last commit, a second's at most; they are asked for again. What was reported as done is
// never lost, and what was committed is never asked for again.

#include <cstdint>
#include <functional>
#include <string>

#include "precept/core/events.h"
#include "precept/core/task.h"
#include "precept/store/item_trace.h"

namespace precept {

struct WalkOptions {
  std::string stage;        // names the events
  std::string noun = "item";
  int concurrency = 1024;   // items in flight
  int give_up_after = 256;  // failed items in a row that end the run; 0: never
};

struct WalkResult {
  std::int64_t items = 0;         // finished or tried now
  std::int64_t failed = 0;        // of those, with a failed request
  std::int64_t new_steps = 0;     // steps made now
  std::int64_t stored_steps = 0;  // steps of these items that the store had already
  std::string first_failure;      // "ID: reason"
};

// An item with its stored steps, walked to its end (ItemTrace::end).
using ItemTask = std::function<Task<ItemTrace>(ItemTrace)>;
// Makes progress at whatever the items await, running their completions; returns how many requests are still in flight.
using Advance = std::function<std::size_t()>;

// Emits kProgress (unit: the noun with an "s") for what is committed, and before it the kMetric "calls": steps made so far; the
// first failure as a kWarning. An Error is one of the store, of give_up_after, of an answer that never comes, or kLimit (then
// nothing new is begun, and what was on its way is finished and stored first). Failed items are in the result, and the others go on.
Result<WalkResult> walk(StepLog& log, const WalkOptions& options, const ItemTask& task, const Advance& advance, const EventSink& events);

}  // namespace precept
