#pragma once
// A few threads that take numbered pieces of work from one counter.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace precept::infer {

class Workers {
 public:
  // The caller's thread is one of them: `threads` - 1 are started.
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int threads() const { return static_cast<int>(others_.size()) + 1; }
  // Calls work(thread, piece) for each piece in [0, pieces), each once; returns when all are done.
  // `work` must not throw.
  void run(int pieces, const std::function<void(int thread, int piece)>& work);

 private:
  void serve(int thread);
  void take(int thread);

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int, int)>* work_ = nullptr;
  std::atomic<int> next_{0};
  int pieces_ = 0, busy_ = 0;
  std::uint64_t round_ = 0;
  bool stop_ = false;
  std::vector<std::thread> others_;
};

}  // namespace precept::infer
