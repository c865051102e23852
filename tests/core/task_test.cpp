#include "precept/core/task.h"

#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace precept {
namespace {

// Suspends until somebody resumes the handle it leaves behind.
struct Gate {
  std::coroutine_handle<> waiting;
  struct Awaiter {
    Gate& gate;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) noexcept { gate.waiting = handle; }
    void await_resume() const noexcept {}
  };
  Awaiter wait() { return Awaiter{*this}; }
};

Task<int> number(int value) { co_return value; }

Task<int> sum(std::vector<int>* log, int n) {
  int total = 0;
  for (int i = 1; i <= n; ++i) {
    total += co_await number(i);
    log->push_back(i);
  }
  co_return total;
}

Task<std::unique_ptr<int>> behind(Gate* gate, int value) {
  co_await gate->wait();
  co_return std::make_unique<int>(value);
}

Task<int> outer(Gate* gate) {
  const auto inner = co_await behind(gate, 41);
  co_return *inner + 1;
}

TEST(TaskTest, StartsLazilyAndRunsThrough) {
  std::vector<int> log;
  auto task = sum(&log, 4);
  EXPECT_TRUE(log.empty());
  task.start();
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take(), 10);
  EXPECT_EQ(log, (std::vector<int>{1, 2, 3, 4}));
}

TEST(TaskTest, ResumesItsAwaiterFromTheInside) {
  Gate gate;
  auto task = outer(&gate);
  task.start();
  EXPECT_FALSE(task.done());
  gate.waiting.resume();
  ASSERT_TRUE(task.done());
  EXPECT_EQ(task.take(), 42);
}

TEST(TaskTest, MayBeDestroyedAtAnyPoint) {
  Gate gate;
  {
    auto never_started = outer(&gate);
    auto suspended = outer(&gate);
    suspended.start();
  }
  auto one = number(1);
  one = number(2);  // the first frame is freed
  one.start();
  EXPECT_EQ(one.take(), 2);
}

TEST(TaskTest, AwaitsManyInARow) {
  std::vector<int> log;
  log.reserve(5000);
  auto task = sum(&log, 5000);
  task.start();
  EXPECT_TRUE(task.done());
}

}  // namespace
}  // namespace precept
