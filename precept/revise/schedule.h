#pragma once
// Runs all open items of a store, thousands at once, whatever is done with each. For revise/ and feedback/ only.

#include <functional>

#include "precept/revise/revise.h"

namespace precept {

// What is done with one item: as revise_item.
using ItemTask = std::function<Task<ItemTrace>(ReviseRun&, RunItem, std::vector<StepRecord> stored)>;

// See revise(), whose options, events and errors these are; `stage` names the events.
Result<ReviseResult> run_items(ReviseRun& run, const ItemTask& task, const char* stage, const EventSink& events);

// Ends an item: with how it ended, or with why it could not.
ItemTrace ended(ItemTrace trace, const Result<Ending>& ending);

}  // namespace precept
