#include "cli/time_log.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/report/summary_json.h"

namespace precept {
namespace {

constexpr auto kEvery = std::chrono::seconds(1);

std::string path_of(const std::string& run) { return run + "/time.jsonl"; }

}  // namespace

TimeLog::TimeLog(const std::string& run, std::string stage, Clock::time_point began)
    : out_(append_lines(path_of(run))), stage_(std::move(stage)), written_(began) {}

void TimeLog::stage(std::string name) {
  write();
  stage_ = std::move(name);
}

void TimeLog::stop() {
  if (!stage_.empty()) write();
  stage_.clear();
}

void TimeLog::write() {
  const auto now = Clock::now();
  const double seconds = std::chrono::duration<double>(now - written_).count();
  nlohmann::ordered_json line;
  line["stage"] = stage_;
  line["seconds"] = seconds;
  line["peak_rss_mb"] = peak_rss_mb();
  out_ << line.dump() + "\n" << std::flush;  // one write
  written_ = now;
}

EventSink TimeLog::tee(EventSink next) {
  return [this, next = std::move(next)](const Event& event) {
    if (!stage_.empty() && Clock::now() - written_ >= kEvery) write();
    if (next) next(event);
  };
}

Result<TimeSpent> read_time_log(const std::string& run) {
  TimeSpent spent;
  const std::string path = path_of(run);
  if (!std::filesystem::exists(path)) return spent;
  const auto text = read_file(path, std::size_t{128} << 20);
  if (!text) return tl::unexpected(text.error());
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    if (nested_too_deeply(line)) continue;
    const auto value = nlohmann::json::parse(line, nullptr, false);
    if (!value.is_object()) continue;
    const auto stage = value.find("stage"), seconds = value.find("seconds"), peak = value.find("peak_rss_mb");
    if (stage == value.end() || seconds == value.end() || !stage->is_string() || !seconds->is_number())
      continue;
    const double more = seconds->get<double>();
    const std::string name = stage->get<std::string>();
    auto known = std::find_if(spent.stages.begin(), spent.stages.end(),
                              [&](const auto& each) { return each.first == name; });
    if (known == spent.stages.end()) known = spent.stages.insert(known, {name, 0});
    known->second += more;
    spent.seconds += more;
    if (peak != value.end() && peak->is_number())
      spent.peak_rss_mb = std::max(spent.peak_rss_mb, peak->get<double>());
  }
  return spent;
}

}  // namespace precept
