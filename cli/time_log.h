#pragma once
// time.jsonl of a run folder: how long each stage has taken, over all sessions that worked on the run.

#include <chrono>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "precept/core/events.h"
#include "precept/core/result.h"

namespace precept {

// Appends {"stage", "seconds", "peak_rss_mb"} when a stage ends and, where there are events to wake it, at
// least once a second: whoever is killed loses no more than the last second. `seconds` are those since the
// line before. Lines that cannot be written are lost; no result depends on them.
class TimeLog {
 public:
  using Clock = std::chrono::steady_clock;

  // The first stage began at `began`.
  TimeLog(const std::string& run, std::string stage, Clock::time_point began);
  ~TimeLog() { stop(); }
  TimeLog(const TimeLog&) = delete;
  TimeLog& operator=(const TimeLog&) = delete;

  void stage(std::string name);   // the stage before ends here
  void stop();                    // the last stage ends here
  EventSink tee(EventSink next);  // passes every event on; lives no longer than this

 private:
  void write();

  std::ofstream out_;
  std::string stage_;  // empty: stopped
  Clock::time_point written_;
};

struct TimeSpent {
  std::vector<std::pair<std::string, double>>
      stages;              // seconds, in the order in which the stages first came up
  double seconds = 0;      // their sum
  double peak_rss_mb = 0;  // of the largest session
};

// All zero without a file. Lines that a kill cut short are passed over.
Result<TimeSpent> read_time_log(const std::string& run);

}  // namespace precept
