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
  const Evaluation* rl = nullptr;     // after reinforcement learning: of all three rates and of the principles beside the others
  const JudgeQuality* judge = nullptr;
  const Familiarity* familiarity = nullptr;
  const ReportLoop* loop = nullptr;
  ReportStages stages;     // may be empty
  double seconds = 0;      // 0: unknown
  double peak_rss_mb = 0;  // 0: unknown
};

// One JSON object; docs/formats.md lists its keys. Undefined and unknown are null.
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
