#include "precept/core/in_flight.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace precept {
namespace {

// A task waits at its gate until somebody opens it.
struct Gates {
  explicit Gates(std::size_t count) : waiting(count) {}
  std::vector<std::coroutine_handle<>> waiting;
  int alive = 0;  // tasks that have begun and neither ended nor been destroyed

  struct Awaiter {
    std::coroutine_handle<>& place;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { place = handle; }
    void await_resume() const noexcept {}
  };
  void open(std::size_t i) { std::exchange(waiting[i], {}).resume(); }
};

struct Counted {
  explicit Counted(int& of) : count(of) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  int& count;
};

Task<std::size_t> through(Gates& gates, std::size_t i, int times = 1) {
  const Counted counted(gates.alive);
  for (int k = 0; k < times; ++k) co_await Gates::Awaiter{gates.waiting[i]};
  co_return i;
}

Task<std::size_t> at_once(std::size_t i) { co_return i; }

std::vector<std::size_t> taken(InFlight<std::size_t>& flying) {
  std::vector<std::size_t> out;
  flying.take_ended([&](std::size_t i) { out.push_back(i); });
  return out;
}

TEST(InFlight, TasksAreTakenInTheOrderInWhichTheyEnd) {
  Gates gates(3);
  InFlight<std::size_t> flying(3);
  for (std::size_t i = 0; i < 3; ++i) flying.start(through(gates, i));
  EXPECT_TRUE(flying.full());
  EXPECT_TRUE(taken(flying).empty());
  gates.open(2);
  gates.open(0);
  EXPECT_EQ(taken(flying), (std::vector<std::size_t>{2, 0}));
  EXPECT_FALSE(flying.full());
  flying.start(at_once(7));
  EXPECT_FALSE(flying.empty()) << "it has ended, but nobody has taken it";
  gates.open(1);
  EXPECT_EQ(taken(flying), (std::vector<std::size_t>{7, 1}));
  EXPECT_TRUE(flying.empty());
  EXPECT_TRUE(taken(flying).empty()) << "each once";
}

TEST(InFlight, WhoTakesMayStartOthers) {
  InFlight<std::size_t> flying(1);
  flying.start(at_once(5));
  std::vector<std::size_t> out;
  flying.take_ended([&](std::size_t i) {
    out.push_back(i);
    if (i > 0) flying.start(at_once(i - 1));
  });
  EXPECT_EQ(out, (std::vector<std::size_t>{5, 4, 3, 2, 1, 0}));
  EXPECT_TRUE(flying.empty());
}

TEST(InFlight, DestroyedInTheMiddleItEndsWhatWaits) {
  Gates gates(3);
  {
    InFlight<std::size_t> flying(3);
    for (std::size_t i = 0; i < 3; ++i) flying.start(through(gates, i, 2));
    gates.open(1);
    gates.open(1);  // ended, and never taken
    EXPECT_EQ(gates.alive, 2);
  }
  EXPECT_EQ(gates.alive, 0);
}

// Thousands wait while each ends in a step of its own: what is looked at is what ended.
TEST(InFlight, WhatWaitsIsNotLookedAt) {
  constexpr std::size_t kTasks = 4000;
  Gates gates(kTasks);
  InFlight<std::size_t> flying(kTasks);
  for (std::size_t i = 0; i < kTasks; ++i) flying.start(through(gates, i, 3));
  std::size_t ended = 0;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = kTasks; i-- > 0;) {
      gates.open(i);
      ended += taken(flying).size();
    }
  }
  EXPECT_EQ(ended, kTasks);
  EXPECT_EQ(flying.looks(), static_cast<std::int64_t>(2 * kTasks));
}

TEST(InFlightDeathTest, MoreThanThereIsRoomForIsABug) {
  InFlight<std::size_t> flying(1);
  flying.start(at_once(1));
  EXPECT_DEATH(flying.start(at_once(2)), "full");
}

}  // namespace
}  // namespace precept
