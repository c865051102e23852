#pragma once
// Sequences dealt to lanes, and work shared by threads: which thread does what changes no bit.

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <type_traits>
#include <vector>

#include "precept/lm/api.h"

namespace precept {

inline constexpr int kChunkTokens = 1024;  // tokens that run through the model together

// Runs work(0..jobs-1) on `threads` threads, in order as they become free; which thread does which does not matter to the result.
// Work that takes a second number is told which thread it is on, 0 .. threads - 1. The first exception (memory) is thrown again here.
template <class Work>
void share(int threads, int jobs, const Work& work) {
  std::atomic<int> taken{0};
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto run = [&](int thread) {
    try {
      for (int job = taken++; job < jobs; job = taken++) {
        if constexpr (std::is_invocable_v<const Work&, int, int>) {
          work(job, thread);
        } else {
          work(job);
        }
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!thrown) thrown = std::current_exception();
      taken = jobs;
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads, jobs); ++i) others.emplace_back(run, i);
  run(0);
  for (std::thread& other : others) other.join();
  if (thrown) std::rethrow_exception(thrown);
}

// Positions in `examples` of the sequences of each of `count` lanes: the longest first, each to the lane with the least work.
using Lanes = std::vector<std::vector<std::size_t>>;
inline Lanes deal(const std::vector<const TrainExample*>& examples, int count) {
  std::vector<std::size_t> order(examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return examples[a]->tokens.size() > examples[b]->tokens.size(); });
  Lanes lanes(static_cast<std::size_t>(count));
  std::vector<std::size_t> load(lanes.size());
  for (const std::size_t i : order) {
    const auto lane = static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    lanes[lane].push_back(i);
    load[lane] += examples[i]->tokens.size();
  }
  return lanes;
}

// Calls work(chunk, positions) for a lane's sequences, in order, as many together as `most` tokens take (at least one).
template <class Work>
void in_chunks(const std::vector<const TrainExample*>& examples, const std::vector<std::size_t>& lane, const Work& work,
               int most = kChunkTokens) {
  std::vector<const TrainExample*> chunk;
  std::vector<std::size_t> positions;
  std::size_t tokens = 0;
  const auto flush = [&] {
    if (!chunk.empty()) work(chunk, positions);
    chunk.clear();
    positions.clear();
    tokens = 0;
  };
  for (const std::size_t i : lane) {
    if (tokens + examples[i]->tokens.size() > static_cast<std::size_t>(most)) flush();
    chunk.push_back(examples[i]);
    positions.push_back(i);
    tokens += examples[i]->tokens.size();
  }
  flush();
}

inline std::vector<const TrainExample*> pointers_to(const std::vector<TrainExample>& examples) {
  std::vector<const TrainExample*> out;
  out.reserve(examples.size());
  for (const TrainExample& example : examples) out.push_back(&example);
  return out;
}

}  // namespace precept
