#pragma once
// Gradients of lanes, added up in the lanes' order whichever is ready first, in as few buffers as the threads at work need.

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "precept/lm/nn/memory.h"

namespace precept {

class LaneSums {
 public:
  // Floats of one gradient; lanes first .. end - 1, of which `together` are computed at a time. With `fold` their sum is made as
  // they come: the first lane's buffer, plus the next lane's, and so on. Else each stays apart, in a buffer of its own.
  LaneSums(std::size_t size, int first, int end, int together, bool fold);

  void begin();
  // A cleared buffer for a lane, which the caller fills and gives back. Waits until every lane before it has its buffer and one is
  // free: whoever comes in what order, the lane that is added next never waits for those behind it.
  float* take(int lane);
  void give(int lane);
  // Some lane will never come: take() and give() throw from now on.
  void abandon();

  // The sum of all; where lanes stay apart, lane `first`. Whole buffers, once every lane was given.
  nn::Floats& sum() { return buffers_[static_cast<std::size_t>(sum_)]; }
  const nn::Floats& lane(int lane) const { return buffers_[static_cast<std::size_t>(owner_[static_cast<std::size_t>(lane - first_)])]; }
  bool folds() const { return fold_; }
  int buffers() const { return static_cast<int>(buffers_.size()); }

 private:
  void fold_ready(std::unique_lock<std::mutex>& lock);

  int first_, end_;
  bool fold_;
  std::vector<nn::Floats> buffers_;
  std::vector<int> free_;
  std::vector<int> owner_;   // by lane: its buffer
  std::vector<char> given_;  // by lane
  int taken_ = 0, next_ = 0;  // the lanes that get a buffer next, and are added next
  int sum_ = 0;               // the sum's buffer
  bool folding_ = false, abandoned_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace precept
