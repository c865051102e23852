#include "cli/metrics_log.h"

#include <nlohmann/json.hpp>

#include "precept/core/io.h"

namespace precept {

MetricsLog::MetricsLog(const std::string& folder) : out_(append_lines(folder + "/metrics.jsonl")) {}

EventSink MetricsLog::tee(std::string stage, EventSink next) {
  return [this, stage = std::move(stage), next = std::move(next)](const Event& event) {
    Event named = event;
    named.stage = stage;
    if (event.kind == Event::Kind::kMetric) {
      nlohmann::ordered_json line;
      line["stage"] = stage;
      line["name"] = event.name;
      line["step"] = event.step;
      line["value"] = event.value;
      out_ << line.dump() << '\n' << std::flush;
    }
    if (next) next(named);
  };
}

}  // namespace precept
