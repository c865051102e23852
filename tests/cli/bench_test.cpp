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
