#pragma once
// What lies in a run folder, gathered for summary.json and report.html.

#include <string>

#include "precept/core/result.h"

namespace precept {

// Writes RUN/summary.json from eval-base.json, eval-sl.json, eval-rl.json, judge.json, familiarity.json, time.jsonl and run.db, as far as they
// exist. Without time.jsonl the seconds and the peak memory of the summary that is there are kept.
Status write_run_summary(const std::string& run);

// Writes the report of a run folder to `out`. Parts that are missing are left out; parts that cannot be read are
// an Error.
Status write_run_report(const std::string& run, const std::string& out);

}  // namespace precept
