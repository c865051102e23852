#include "precept/model/endpoints.h"

#include <gtest/gtest.h>

namespace precept {
namespace {

using std::chrono::milliseconds;
using Outcome = EndpointSet::Outcome;
const EndpointSet::Time kStart{};

TEST(InFlightWindow, GrowsByOneUntilTheServerComplains) {
  InFlightWindow window(64);
  EXPECT_EQ(window.size(), 16);
  for (int i = 0; i < 10; ++i) window.grow();
  EXPECT_EQ(window.size(), 26);
  for (int i = 0; i < 100; ++i) window.grow();
  EXPECT_EQ(window.size(), 64);
  EXPECT_EQ(InFlightWindow(3).size(), 3);
  EXPECT_EQ(InFlightWindow(0).size(), 1);
}

TEST(InFlightWindow, ComplaintsHalveItOncePerWindow) {
  InFlightWindow window(32);
  for (int i = 0; i < 50; ++i) window.grow();
  ASSERT_EQ(window.size(), 32);
  std::uint64_t sent[8];
  for (std::uint64_t& number : sent) number = window.begin();
  for (const std::uint64_t number : sent) window.shrink(number);  // all of one window: one decrease
  EXPECT_EQ(window.size(), 16);
  window.shrink(window.begin());
  EXPECT_EQ(window.size(), 8);
  for (int i = 0; i < 8; ++i) window.grow();  // now a whole window of answers makes one more
  EXPECT_EQ(window.size(), 8);
  for (int i = 0; i < 2; ++i) window.grow();
  EXPECT_EQ(window.size(), 9);
  for (int i = 0; i < 40; ++i) window.shrink(window.begin());
  EXPECT_EQ(window.size(), 1);
}

TEST(EndpointSet, TheFewestOutstandingIsNext) {
  EndpointSet set(2, 4);
  EXPECT_EQ(set.choose(kStart, std::nullopt), 0U);
  const auto first = set.begin(0);
  EXPECT_EQ(set.choose(kStart, std::nullopt), 1U);
  set.begin(1);
  set.begin(1);
  EXPECT_EQ(set.choose(kStart, std::nullopt), 0U);
  EXPECT_EQ(set.choose(kStart, 0), 1U) << "not where it failed";
  for (int i = 0; i < 3; ++i) set.begin(0);
  for (int i = 0; i < 2; ++i) set.begin(1);
  EXPECT_EQ(set.choose(kStart, std::nullopt), std::nullopt) << "both are full";
  set.end(0, first, Outcome::kAnswered, kStart, milliseconds(0));
  EXPECT_EQ(set.choose(kStart, 0), 0U) << "nobody else has room";
}

TEST(EndpointSet, RetryAfterHoldsBackTheOneThatAsked) {
  EndpointSet set(2, 4);
  set.end(0, set.begin(0), Outcome::kTooMany, kStart, milliseconds(500));
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(set.choose(kStart + milliseconds(499), std::nullopt), 1U);
    set.begin(1);
  }
  EXPECT_EQ(set.choose(kStart + milliseconds(499), std::nullopt), std::nullopt);
  EXPECT_EQ(set.next_change(kStart), kStart + milliseconds(500));
  EXPECT_EQ(set.choose(kStart + milliseconds(500), std::nullopt), 0U);
  EXPECT_EQ(set.window(0), 2);
  EXPECT_EQ(set.window(1), 4);
}

TEST(EndpointSet, OneThatIsDownIsLeftOutAndProbedAgain) {
  EndpointSet set(2, 4);
  EXPECT_TRUE(set.end(0, set.begin(0), Outcome::kUnreachable, kStart, milliseconds(0)));
  EXPECT_TRUE(set.is_out(0));
  EXPECT_TRUE(set.another_in(0));
  EXPECT_EQ(set.choose(kStart, std::nullopt), 1U);
  EXPECT_EQ(set.probe_due(kStart + milliseconds(249)), std::nullopt);
  EXPECT_EQ(set.probe_due(kStart + milliseconds(250)), 0U);
  EXPECT_EQ(set.probe_due(kStart + milliseconds(250)), std::nullopt) << "one probe at a time";
  set.probed(0, false, kStart + milliseconds(250));
  EXPECT_EQ(set.probe_due(kStart + milliseconds(749)), std::nullopt) << "the pause doubles";
  EXPECT_EQ(set.probe_due(kStart + milliseconds(750)), 0U);
  set.probed(0, true, kStart + milliseconds(750));
  EXPECT_FALSE(set.is_out(0));
  EXPECT_TRUE(set.end(0, set.begin(0), Outcome::kFailed, kStart, milliseconds(0))) << "on probation";
}

TEST(EndpointSet, FiveFailuresInARowPutOneOutButComplaintsDoNot) {
  EndpointSet set(2, 4);
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(set.end(0, set.begin(0), Outcome::kTooMany, kStart, milliseconds(0)));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(set.end(0, set.begin(0), Outcome::kFailed, kStart, milliseconds(0)));
  EXPECT_FALSE(set.end(0, set.begin(0), Outcome::kAnswered, kStart, milliseconds(0)));
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(set.end(0, set.begin(0), Outcome::kTimedOut, kStart, milliseconds(0)));
  EXPECT_TRUE(set.end(0, set.begin(0), Outcome::kFailed, kStart, milliseconds(0)));
}

TEST(EndpointSet, WhenAllAreOutAllAreTriedAndASingleOneAlways) {
  EndpointSet set(2, 4);
  set.leave_out(0, kStart);
  set.leave_out(1, kStart);
  EXPECT_EQ(set.choose(kStart, std::nullopt), 0U);
  set.end(0, set.begin(0), Outcome::kAnswered, kStart, milliseconds(0));
  EXPECT_FALSE(set.is_out(0));
  EndpointSet one(1, 4);
  EXPECT_FALSE(one.end(0, one.begin(0), Outcome::kUnreachable, kStart, milliseconds(0)));
  EXPECT_EQ(one.choose(kStart, 0), 0U);
  EXPECT_EQ(one.probe_due(kStart + milliseconds(100'000)), std::nullopt);
}

}  // namespace
}  // namespace precept
