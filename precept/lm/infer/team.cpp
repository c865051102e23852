#include "precept/lm/infer/team.h"

namespace precept::infer {
namespace {

constexpr int kSpins = 1000;  // some tens of microseconds; then whoever shares this processor gets a turn

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

Team::Team(int threads)
    // Where there are more threads than processors, who spins keeps from working whom it waits for.
    : spins_(threads > static_cast<int>(std::thread::hardware_concurrency()) ? 0 : kSpins), missing_(threads) {
  for (int i = 1; i < threads; ++i) others_.emplace_back([this, i] { serve(i); });
}

Team::~Team() {
  stop_ = true;
  ++round_;
  round_.notify_all();
  for (std::thread& thread : others_) thread.join();
}

void Team::barrier() {
  if (others_.empty()) return;
  const std::uint32_t phase = phase_.load(std::memory_order_acquire);
  if (missing_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    missing_.store(threads(), std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; phase_.load(std::memory_order_acquire) == phase; ++spins) {
    if (spins < spins_) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void Team::run(const std::function<void(int)>& work) {
  if (others_.empty()) return work(0);
  work_ = &work;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  work(0);
  barrier();
}

void Team::serve(int thread) {
  std::uint32_t seen = 0;
  while (true) {
    for (int spins = 0; spins < spins_ && round_.load(std::memory_order_acquire) == seen; ++spins) pause();
    round_.wait(seen, std::memory_order_acquire);
    ++seen;  // a round ends only when all threads are through it, so none is missed
    if (stop_) return;
    (*work_)(thread);
    barrier();
  }
}

}  // namespace precept::infer
