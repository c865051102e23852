#pragma once
// summary.json: the headline numbers of a run, for machines. Keys: docs/formats.md.

#include <cstdint>
#include <optional>
#include <string>

#include "precept/core/result.h"
#include "precept/report/report.h"

namespace precept {

struct SummaryInput {
  const Evaluation* base = nullptr;   // absent parts are null in the file
  const Evaluation* sl = nullptr;
  const JudgeQuality* judge = nullptr;
  const ReportLoop* loop = nullptr;
  Usage usage;                        // of the whole run; with all zero: summed from the parts given
  double seconds = 0;
  double peak_rss_mb = 0;
};

// {"violation_rate": {"base": ESTIMATE, "sl": ESTIMATE, "difference": ESTIMATE, "p": number}, "helpfulness": ...,
//  "over_refusal": ..., "per_principle": {id: {...}}, "calls_per_item", "tokens", "seconds", "peak_rss_mb",
//  "judge", "collapse"}
std::string summary_json(const SummaryInput& input);

// The two keys a report needs back from it; zero when absent.
struct SummaryFacts {
  double seconds = 0;
  double peak_rss_mb = 0;
};
Result<SummaryFacts> load_summary_facts(const std::string& path);

// Peak resident memory of this process in MB (10^6 bytes).
double peak_rss_mb();

}  // namespace precept
