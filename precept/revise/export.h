#pragma once
// A run as JSONL in the shapes that TRL reads. In prompt-file order, without times: the bytes depend
// on the recipe alone.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "precept/core/result.h"
#include "precept/store/run_store.h"

namespace precept {

struct ExportOptions {
  std::string what = "sft";        // sft: {"prompt","completion"}; preferences: {"prompt","chosen","rejected"}; traces
  bool include_unsettled = false;  // also items whose final violates or could not be judged
};

struct ExportCounts {
  std::int64_t written = 0;
  std::int64_t unsettled = 0;    // left out: still violating
  std::int64_t unparseable = 0;  // left out: a judgment could not be read
  std::int64_t unchanged = 0;    // left out of preferences: final and draft are the same
  std::int64_t empty = 0;        // left out: the final (or the draft, in preferences) is blank
  std::int64_t failed = 0, pending = 0;
};

// Hands `line` to `sink` for each record, newline included; sink returns false to stop early. Prompts are strings when
// every conversation of the run is one user turn, else messages in all lines (one type a column).
Result<ExportCounts> export_run(const RunStore& store, const ExportOptions& options,
                                const std::function<bool(std::string_view line)>& sink);

}  // namespace precept
