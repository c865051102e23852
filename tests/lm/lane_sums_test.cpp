// The sum of lanes that are ready in any order, in fewer buffers than lanes.

#include "precept/lm/train/lane_sums.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>

namespace precept {
namespace {

constexpr std::size_t kSize = 37;

void fill(float* buffer, int lane) {
  for (std::size_t i = 0; i < kSize; ++i) buffer[i] += static_cast<float>(lane + 1) * 0.1F + static_cast<float>(i);
}

// As a loop adds them up, first lane first.
std::vector<float> expected(int lanes) {
  std::vector<float> sum(kSize), lane(kSize);
  for (int l = 0; l < lanes; ++l) {
    std::fill(lane.begin(), lane.end(), 0.0F);
    fill(lane.data(), l);
    for (std::size_t i = 0; i < kSize; ++i) sum[i] = l == 0 ? lane[i] : sum[i] + lane[i];
  }
  return sum;
}

// Two threads and four lanes in three buffers. Whoever has the first lane is held up before he takes its buffer; the other one
// comes with all that are left. He must leave a buffer: before it was so, a training could stand still for ever.
TEST(LaneSums, TheFirstLaneIsNeverLeftWithoutABuffer) {
  for (const int late : {0, 1}) {
    SCOPED_TRACE(late);
    LaneSums sums(kSize, 0, 4, 2, true);
    ASSERT_EQ(sums.buffers(), 3);
    sums.begin();
    const auto work = [&](int lane) {
      fill(sums.take(lane), lane);
      sums.give(lane);
    };
    std::atomic<int> through{0};
    std::future<void> others = std::async(std::launch::async, [&] {
      for (int lane = 0; lane < 4; ++lane) {
        if (lane != late) work(lane), ++through;
      }
    });
    // Long enough for him to take all he can get; were it too short, the test would only see less.
    for (int i = 0; i < 200 && through < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::future<void> held_up = std::async(std::launch::async, [&] { work(late); });
    if (held_up.wait_for(std::chrono::seconds(30)) != std::future_status::ready) {
      sums.abandon();
      ADD_FAILURE() << "lane " << late << " waits for ever";
    }
    EXPECT_NO_THROW(held_up.get());
    EXPECT_NO_THROW(others.get());
    const nn::Floats& sum = sums.sum();
    EXPECT_EQ(std::vector<float>(sum.begin(), sum.end()), expected(4));
  }
}

// Threads that take lanes as they become free, as training does, with next to nothing to do in each.
TEST(LaneSums, ManyThreadsAndLanesGiveTheSumInOrder) {
  for (const auto& [lanes, threads] : {std::pair{4, 2}, {4, 3}, {64, 5}, {1, 1}, {3, 1}}) {
    LaneSums sums(kSize, 0, lanes, threads, true);
    for (int round = 0; round < 300; ++round) {
      sums.begin();
      std::atomic<int> next{0};
      const auto run = [&, lanes = lanes] {
        for (int lane = next++; lane < lanes; lane = next++) {
          fill(sums.take(lane), lane);
          sums.give(lane);
        }
      };
      std::vector<std::thread> others;
      for (int i = 1; i < threads; ++i) others.emplace_back(run);
      run();
      for (std::thread& other : others) other.join();
      ASSERT_EQ(std::vector<float>(sums.sum().begin(), sums.sum().end()), expected(lanes)) << lanes << " lanes, " << threads << " threads, round " << round;
    }
  }
}

TEST(LaneSums, ALaneThatWillNeverComeEndsTheWaiting) {
  LaneSums sums(kSize, 0, 4, 2, true);
  sums.begin();
  std::future<float*> second = std::async(std::launch::async, [&] { return sums.take(1); });
  sums.abandon();
  EXPECT_THROW(second.get(), std::runtime_error);
}

}  // namespace
}  // namespace precept
