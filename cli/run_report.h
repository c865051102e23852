#pragma once
// What lies in a run folder, gathered for summary.json and report.html.

#include <string>

#include "precept/core/result.h"

namespace precept {

// What numbers of the pocket world can and cannot show; a paragraph of reports.
inline constexpr const char* kPocketScope =
    "The pocket world is a synthetic test bed: a small closed world of generated prompts, and an oracle that knows the truth "
    "about each of them. It can show that the loop, the training and the measurements work from end to end, and that the text "
    "of the constitution decides what the model becomes. It cannot show how a large model would behave in real "
    "conversations: violations here are of a few known kinds, and the language is plain. The oracle knows answers by the "
    "phrases of this world. Held-out prompts show two phrasings of each family of requests that no training text has; their "
    "intervals are about drawing more prompts like these, not about ever newer phrasings.";

// Writes RUN/summary.json from eval-base.json, eval-sl.json, eval-rl.json, judge.json, familiarity.json, time.jsonl and run.db, as far as they
// exist. Without time.jsonl the seconds and the peak memory of the summary that is there are kept.
Status write_run_summary(const std::string& run);

// Writes the report of a run folder to `out`. Parts that are missing are left out; parts that cannot be read are
// an Error.
Status write_run_report(const std::string& run, const std::string& out);

}  // namespace precept
