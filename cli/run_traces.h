#pragma once
// Items of a run that a person should read, with all their steps, for the report.

#include <cstddef>
#include <vector>

#include "precept/core/result.h"
#include "precept/report/report.h"
#include "precept/store/run_store.h"

namespace precept {

// At most `most` finished items: the first of each kind of ending in the order of the prompts, so that nobody picks
// them. A kind that has too few leaves its places to the others.
Result<std::vector<ReportTrace>> pick_traces(const RunStore& store, std::size_t most);

}  // namespace precept
