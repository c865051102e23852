// The time of a quickstart is that of all its sessions, also of those that were killed.

#include <signal.h>

#include <chrono>
#include <map>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;

class QuickstartTime : public ProgramTest {
 protected:
  static constexpr const char* kArguments =
      "quickstart --quiet --out run --prompts 20 --held-out 20 --judge-cases 5 --epochs 1";

  std::string log() const { return slurp(path("run/time.jsonl")); }
  Json summary() const { return Json::parse(slurp(path("run/summary.json")), nullptr, false); }

  // Seconds by stage of the lines that can be read.
  std::map<std::string, double> stages() const {
    std::map<std::string, double> sums;
    std::istringstream lines(log());
    for (std::string line; std::getline(lines, line);) {
      const Json value = Json::parse(line, nullptr, false);
      if (value.is_object()) sums[value["stage"].get<std::string>()] += value["seconds"].get<double>();
    }
    return sums;
  }
  void expect_summary_of_the_log() const {
    const Json whole = summary();
    double sum = 0;
    for (const auto& [stage, seconds] : stages()) {
      EXPECT_NEAR(whole["stages"][stage].get<double>(), seconds, 1e-6) << stage;
      sum += seconds;
    }
    EXPECT_EQ(whole["stages"].size(), stages().size());
    EXPECT_NEAR(whole["seconds"].get<double>(), sum, 1e-6);
  }
  // Killed as soon as the log holds `word`.
  void run_and_kill(const std::string& word) {
    const pid_t child = start(kArguments);
    ASSERT_GT(child, 0);
    int status = 0;
    while (log().find(word) == std::string::npos && ::waitpid(child, &status, WNOHANG) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    ASSERT_NE(log().find(word), std::string::npos) << "ended before it was killed";
    ASSERT_FALSE(std::filesystem::exists(path("run/summary.json"))) << "too late to be killed";
  }
};

TEST_F(QuickstartTime, IsTheSumOverKilledSessions) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_NO_FATAL_FAILURE(run_and_kill("evaluate base"));
  // A session of another day that took long and was killed while it wrote.
  const std::string before =
      log() + "{\"stage\":\"loop\",\"seconds\":4000,\"peak_rss_mb\":90000}\n{\"stage\":\"train\",\"sec";
  put("run/time.jsonl", before);
  const Ran resumed = run(kArguments);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(log().rfind(before + "\n{", 0), 0u) << "nothing is rewritten, and the half line is closed\n"
                                                << log();
  expect_summary_of_the_log();
  EXPECT_GT(summary()["stages"]["loop"].get<double>(), 4000);
  EXPECT_EQ(summary()["peak_rss_mb"].get<double>(), 90000);
  for (const char* stage :
       {"prepare", "evaluate base", "measure the judge", "loop", "train", "evaluate sl", "report"}) {
    EXPECT_TRUE(summary()["stages"].contains(stage)) << stage;
  }
  const std::string report = slurp(path("run/report.html"));
  EXPECT_NE(report.find("<td>loop</td><td class=\"r\">1 h 6 min</td>"), std::string::npos);

  // Another command on the same folder keeps it, and so does a refused one.
  const std::string kept = log();
  ASSERT_EQ(run("eval --model pocket --held-out 5 --run run --label more --quiet").code, 0);
  EXPECT_EQ(run(std::string(kArguments) + " --seed 9").code, 2);
  EXPECT_EQ(log(), kept);
  expect_summary_of_the_log();
}

}  // namespace
}  // namespace precept
