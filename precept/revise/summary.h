#pragma once
// What a run did, from its store.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/model.h"
#include "precept/store/run_store.h"

namespace precept {

struct PrincipleCount {
  std::int64_t selected = 0;         // select said it applies
  std::int64_t judged = 0;           // drafts judged by it, with a readable verdict
  std::int64_t violated_draft = 0;   // of those, violating
  std::int64_t violated_final = 0;   // finals whose last judgment says it still violates
  std::int64_t unparseable = 0;      // verdicts of either step that could not be read
};

struct RunSummary {
  std::int64_t items = 0;
  std::int64_t complied_at_once = 0, revised = 0, unsettled = 0, unparseable = 0, failed = 0, pending = 0;
  std::vector<std::int64_t> by_rounds;            // [r]: finished items that took r revisions
  std::map<std::string, std::int64_t> calls;      // by step_name
  std::map<std::string, Usage> tokens;            // by step_name
  std::int64_t total_calls = 0;
  std::int64_t finished_calls = 0;                // of those, of finished items
  Usage total_tokens;
  std::map<std::string, PrincipleCount> principles;
  std::map<std::string, VerdictCount> verdicts;   // by step_name, of select and judge; all that are stored
  std::string first_failure;                      // "ID: reason"

  double calls_per_item() const;  // of finished items; NaN when there are none
};

Result<RunSummary> summarize(const RunStore& store);

// One item as the report shows it; RunStore::visit gives them all.
struct TraceView {
  const RunItem* item = nullptr;
  const std::vector<StepRecord>* steps = nullptr;
  const StepRecord* draft = nullptr;  // null: never drafted
  const StepRecord* final = nullptr;  // last revision, else the draft
  bool settled() const {
    return item->ending == Ending::kComplied || item->ending == Ending::kRevised;
  }
};
TraceView view(const RunItem& item, const std::vector<StepRecord>& steps);

}  // namespace precept
