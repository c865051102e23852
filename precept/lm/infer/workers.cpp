#include "precept/lm/infer/workers.h"

namespace precept::infer {

Workers::Workers(int threads) {
  for (int i = 1; i < threads; ++i) others_.emplace_back([this, i] { serve(i); });
}

Workers::~Workers() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : others_) thread.join();
}

void Workers::take(int thread) {
  for (int piece = next_.fetch_add(1); piece < pieces_; piece = next_.fetch_add(1)) (*work_)(thread, piece);
}

void Workers::run(int pieces, const std::function<void(int, int)>& work) {
  if (pieces <= 1 || others_.empty()) {
    for (int piece = 0; piece < pieces; ++piece) work(0, piece);
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    work_ = &work;
    pieces_ = pieces;
    next_ = 0;
    busy_ = static_cast<int>(others_.size());
    ++round_;
  }
  wake_.notify_all();
  take(0);
  std::unique_lock<std::mutex> lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
}

void Workers::serve(int thread) {
  std::uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stop_ || round_ != seen; });
    if (stop_) return;
    seen = round_;
    lock.unlock();
    take(thread);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

}  // namespace precept::infer
