#include "precept/lm/train/lane_sums.h"

#include <algorithm>
#include <stdexcept>

#include "precept/core/result.h"

namespace precept {

LaneSums::LaneSums(std::size_t size, int first, int end, int together, bool fold)
    : first_(first), end_(end), fold_(fold), owner_(static_cast<std::size_t>(end - first)), given_(owner_.size()) {
  PRECEPT_CHECK(end > first);
  // One more than are at work holds the sum.
  const int count = fold ? std::min(end - first, together + 1) : end - first;
  buffers_.resize(static_cast<std::size_t>(count));
  for (nn::Floats& buffer : buffers_) buffer.resize(size);
}

void LaneSums::begin() {
  std::fill(given_.begin(), given_.end(), char{0});
  free_.clear();
  for (int i = static_cast<int>(buffers_.size()); i-- > 0;) free_.push_back(i);
  taken_ = next_ = first_;
  folding_ = abandoned_ = false;
}

float* LaneSums::take(int lane) {
  std::unique_lock lock(mutex_);
  // In order: were lanes 1 to 3 to take the only three buffers before lane 0 had one, nothing could be added and none come free.
  changed_.wait(lock, [&] { return abandoned_ || (taken_ == lane && !free_.empty()); });
  if (abandoned_) throw std::runtime_error("another lane failed");
  ++taken_;
  const int buffer = free_.back();
  free_.pop_back();
  owner_[static_cast<std::size_t>(lane - first_)] = buffer;
  lock.unlock();
  changed_.notify_all();  // the next lane may take one
  nn::Floats& floats = buffers_[static_cast<std::size_t>(buffer)];
  std::fill(floats.begin(), floats.end(), 0.0F);
  return floats.data();
}

void LaneSums::give(int lane) {
  std::unique_lock lock(mutex_);
  given_[static_cast<std::size_t>(lane - first_)] = 1;
  if (fold_ && !folding_) fold_ready(lock);
  if (!fold_) sum_ = owner_[0];
}

// Adds what is ready. One thread at a time; others go on meanwhile.
void LaneSums::fold_ready(std::unique_lock<std::mutex>& lock) {
  folding_ = true;
  while (next_ < end_ && given_[static_cast<std::size_t>(next_ - first_)] != 0) {
    const int buffer = owner_[static_cast<std::size_t>(next_ - first_)];
    if (next_++ == first_) {
      sum_ = buffer;
      continue;
    }
    lock.unlock();
    float* __restrict to = buffers_[static_cast<std::size_t>(sum_)].data();
    const nn::Floats& from = buffers_[static_cast<std::size_t>(buffer)];
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
    lock.lock();
    free_.push_back(buffer);
    changed_.notify_all();
  }
  folding_ = false;
}

void LaneSums::abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  changed_.notify_all();
}

}  // namespace precept
