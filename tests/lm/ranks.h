#pragma once
// Several processes, here as threads.

#include <thread>
#include <vector>

#include "precept/lm/api.h"
#include "tests/support/free_port.h"

namespace precept {

template <class Work>
void on_ranks(int size, const Work& work) {
  const int port = free_port();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) threads.emplace_back([&work, rank, size, port] { work(WorldOptions{rank, size, "127.0.0.1", port}); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace precept
