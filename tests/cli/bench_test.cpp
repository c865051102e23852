// precept bench, as far as it can be checked without a clock.

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

class BenchCommandTest : public ProgramTest {
 protected:
  nlohmann::json json_of(const std::string& arguments) {
    const Ran ran = run("bench " + arguments + " --quiet --json");
    EXPECT_EQ(ran.code, 0) << ran.err;
    return nlohmann::json::parse(ran.out, nullptr, false);
  }
};

TEST_F(BenchCommandTest, QueueServesFewThenManyThenFew) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("queue --requests 60 --first 20 --tokens 2 --cache-mb 4");
  ASSERT_EQ(json["runs"].size(), 3u);
  for (const std::size_t i : {0u, 1u, 2u}) {
    const auto& one = json["runs"][i];
    EXPECT_EQ(one["requests"], i == 1 ? 60 : 20);
    EXPECT_GT(one["requests_per_s"], 0);
    EXPECT_GE(one["resident_mb"]["most_while_served"], one["resident_mb"]["queued"]);
  }
}

TEST_F(BenchCommandTest, ACrowdIsAnsweredOrGivenUp) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("queue --minutes 0.02 --cache-mb 4");
  EXPECT_GT(json["answered"], 0);
  EXPECT_GE(json["answered"].get<int>() + json["given_up_or_late"].get<int>(), 2000);  // as many were in flight
}

TEST_F(BenchCommandTest, EngineMeasuresEveryLengthForEveryCount) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("engine --shape pocket --sequences 1,3 --prompt 8,40 --tokens 4 --turns 2 --prefill 16 --threads 1");
  ASSERT_EQ(json["decode"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& one = json["decode"][i];
    EXPECT_EQ(one["sequences"], i < 2 ? 1 : 3);
    EXPECT_EQ(one["prompt"], i % 2 == 0 ? 8 : 40);
    EXPECT_NEAR(one["step_ms"].get<double>() * one["tokens_per_s"].get<double>(), 1e3 * one["sequences"].get<double>(), 1e-6 * 1e3);
  }
  // The weights once a step, and keys and values of every sequence: 32 more positions of each.
  const auto mb = [&](std::size_t i) { return json["decode"][i]["step_mb"].get<double>(); };
  EXPECT_NEAR(mb(3) - mb(2), 3 * (mb(1) - mb(0)), 1e-9);
  EXPECT_GT(mb(1), mb(0));
}

TEST_F(BenchCommandTest, LoopSaysHowItemsEnded) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("loop --items 8");
  int items = 0;
  for (const auto& [ending, count] : json["endings"].items()) items += count.get<int>();
  EXPECT_EQ(items, 8);
  EXPECT_EQ(json["endings"]["failed"], 0);
  EXPECT_EQ(json["endings"]["unparseable"], 0);
}

}  // namespace
}  // namespace precept
