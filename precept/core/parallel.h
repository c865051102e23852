#pragma once
// Independent pieces of work over threads, for reading and checking large files.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace precept {

// Calls work(i) once for each i in [0, count), from at most `threads` threads (0: one for each processor); returns when
// all are done. `work` must not throw.
template <class Work>
void in_parallel(std::size_t count, const Work& work, int threads = 0) {
  std::atomic<std::size_t> next{0};
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) work(i);
  };
  const std::size_t wanted = threads > 0 ? static_cast<std::size_t>(threads) : std::max(1U, std::thread::hardware_concurrency());
  std::vector<std::thread> others;
  for (std::size_t t = 1; t < std::min(wanted, count); ++t) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
}

}  // namespace precept
