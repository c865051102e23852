#include "precept/lm/infer/team.h"

namespace precept::infer {
namespace {

constexpr int kSpins = 3000;  // about a hundred microseconds

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
    phase_.notify_all();
    return;
  }
  for (int spins = 0; spins < spins_; ++spins) {
    if (phase_.load(std::memory_order_acquire) != phase) return;
    pause();
  }
  // Somebody else has the other's processor. Who sleeps is woken as soon as it is his turn; who yields again and again is
  // passed over in favour of everybody, however low their priority.
  phase_.wait(phase, std::memory_order_acquire);
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
