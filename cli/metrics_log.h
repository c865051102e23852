#pragma once
// metrics.jsonl of a run folder: one line for each number of a curve, {"stage", "name", "step", "value"}.

#include <fstream>
#include <string>

#include "precept/core/events.h"

namespace precept {

class MetricsLog {
 public:
  explicit MetricsLog(const std::string& folder);
  // Passes every event on to `next`, with its stage replaced by `stage`, and keeps the metrics.
  EventSink tee(std::string stage, EventSink next);

 private:
  std::ofstream out_;
};

}  // namespace precept
