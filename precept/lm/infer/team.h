#pragma once
// A few threads that walk through the same work side by side and meet at barriers, some hundred times a step. So they
// wait by spinning, and sleep only after a while.

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace precept::infer {

class Team {
 public:
  // The caller's thread is one of them: `threads` - 1 are started.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int threads() const { return static_cast<int>(others_.size()) + 1; }
  // Calls work(thread) once in each thread; returns when all are done. `work` must not throw.
  void run(const std::function<void(int thread)>& work);
  // Inside `work`: waits until all threads are here. What they wrote before is seen by all after.
  void barrier();

 private:
  void serve(int thread);

  const int spins_;  // before a waiting thread sleeps
  std::vector<std::thread> others_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<std::uint32_t> round_{0};  // of run(); sleepers wait for it to change
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<int> missing_{0};
  alignas(64) std::atomic<std::uint32_t> phase_{0};
};

// The part of [0, count) that falls to one of `parts`: consecutive, as even as can be.
struct Share {
  Share(int count, int part, int parts)
      : begin(static_cast<int>(std::int64_t{count} * part / parts)), end(static_cast<int>(std::int64_t{count} * (part + 1) / parts)) {}
  int begin, end;
};

// Parts of [0, count) of `each` (the last one may be shorter) that threads take as they come along: the first one of thread
// i is the i-th, so `taken` begins with the number of threads. The next part is taken before this one is worked on, so that
// its memory can be asked for.
class Pieces {
 public:
  Pieces(std::atomic<int>& taken, int count, int each, int thread) : taken_(taken), count_(count), each_(each), begin_(thread * each), next_(take()) {}
  explicit operator bool() const { return begin_ < count_; }
  void operator++() { begin_ = next_, next_ = begin_ < count_ ? take() : begin_; }
  int begin() const { return begin_; }
  int end() const { return begin_ + each_ < count_ ? begin_ + each_ : count_; }
  int next() const { return next_; }  // where the next one begins; `count` or more: there is none

 private:
  int take() { return taken_.fetch_add(1, std::memory_order_relaxed) * each_; }
  std::atomic<int>& taken_;
  int count_, each_, begin_, next_;
};

}  // namespace precept::infer
