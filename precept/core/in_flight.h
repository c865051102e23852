#pragma once
// Tasks on their way, each in a slot of its own. One that ends says so itself: a step of work costs what ended in it, not a look at
// everything that waits. One thread. Destroying it ends all that are on their way, wherever they wait.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "precept/core/task.h"

namespace precept {

template <class T>
class InFlight {
 public:
  explicit InFlight(std::size_t most) : slots_(most) {
    for (std::size_t i = most; i-- > 0;) free_.push_back(i);
  }
  InFlight(const InFlight&) = delete;  // the tasks know where it is
  InFlight& operator=(const InFlight&) = delete;

  bool full() const { return free_.empty(); }
  bool empty() const { return free_.size() == slots_.size(); }  // nothing waits, and nothing is to be taken

  // Runs the task until it waits for the first time; one that never does has ended. Never while full().
  void start(Task<T> task) {
    PRECEPT_CHECK(!full());
    const std::size_t slot = free_.back();
    free_.pop_back();
    at(slot).emplace(watch(std::move(task), slot, ended_));
    slots_[slot]->start();
  }

  // What ended since the last call, in the order in which it did, each in `take(T)`, which may start others.
  template <class Take>
  void take_ended(const Take& take) {
    for (std::size_t i = 0; i < ended_.size(); ++i) {
      const std::size_t slot = ended_[i];
      T result = at(slot)->take();
      slots_[slot].reset();
      free_.push_back(slot);
      take(std::move(result));
    }
    ended_.clear();
  }

  // How often a slot was looked at: twice a task, however many there are and however long they wait.
  std::int64_t looks() const { return looks_; }

 private:
  static Task<T> watch(Task<T> task, std::size_t slot, std::vector<std::size_t>& ended) {
    T result = co_await task;
    ended.push_back(slot);
    co_return result;
  }

  std::optional<Task<T>>& at(std::size_t slot) {
    ++looks_;
    return slots_[slot];
  }

  std::vector<std::size_t> free_, ended_;  // slots
  std::vector<std::optional<Task<T>>> slots_;
  std::int64_t looks_ = 0;
};

}  // namespace precept
