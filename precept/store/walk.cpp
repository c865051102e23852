#include "precept/store/walk.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "precept/core/in_flight.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;
// A commit syncs the disk: finished steps wait for company, so long that commits take a hundredth of the time, but not longer than a second:
// more than that a kill never loses.
constexpr Clock::duration kCommitEvery = std::chrono::milliseconds(250);
constexpr Clock::duration kCommitAtLeastEvery = std::chrono::seconds(1);
constexpr int kIdle = 2;  // steps in which nothing is in flight and nothing comes, though items wait

class Walk {
 public:
  Walk(StepLog& log, const WalkOptions& options, const ItemTask& task, const EventSink& events, std::int64_t total, std::int64_t open)
      : log_(log),
        options_(options),
        task_(task),
        events_(events),
        flying_(static_cast<std::size_t>(std::clamp<std::int64_t>(open, 1, options.concurrency))),
        total_(total),
        done_(total - open) {}

  Result<WalkResult> to_the_end(const Advance& advance) {
    report();
    for (int idle = 0;;) {
      if (Status status = fill(); !status) return tl::unexpected<Error>(status.error());
      if (flying_.empty()) break;
      const auto before = std::pair(log_.made, result_.items);
      const std::size_t in_flight = advance();
      collect();
      idle = in_flight == 0 && before == std::pair(log_.made, result_.items) ? idle + 1 : 0;
      if (idle > kIdle) return failed("a model dropped a request without an answer", "this is a bug of its backend");
      if (Status status = save(false); !status) return tl::unexpected<Error>(status.error());
    }
    if (Status status = save(true); !status) return tl::unexpected<Error>(status.error());
    if (limit_) return tl::unexpected<Error>(*limit_);
    if (gave_up()) {
      return failed(std::to_string(in_a_row_) + " " + options_.noun + "s in a row failed: " + result_.first_failure,
                    "mend the cause and run again: it goes on where it stopped");
    }
    return result_;
  }

 private:
  bool gave_up() const { return options_.give_up_after > 0 && in_a_row_ >= options_.give_up_after; }

  // Starts items where there is room. One whose steps are all stored ends at once.
  Status fill() {
    while (!flying_.full() && !exhausted_ && !gave_up() && !limit_) {
      auto item = log_.store.next_open_item(next_);
      if (!item) return tl::unexpected<Error>(item.error());
      if (!*item) {
        exhausted_ = true;
        break;
      }
      next_ = (*item)->ordinal + 1;
      auto stored = log_.store.steps((*item)->ordinal);
      if (!stored) return tl::unexpected<Error>(stored.error());
      flying_.start(task_({std::move(**item), std::move(*stored), 0, {}}));
      collect();
      if (!log_.storage) return log_.storage;
    }
    return {};
  }

  void collect() {
    flying_.take_ended([this](const ItemTrace& trace) { take(trace); });
  }

  void take(const ItemTrace& trace) {
    if (trace.limit) {
      if (!limit_) limit_ = trace.limit;
      return;
    }
    ++result_.items;
    result_.stored_steps += trace.repeated;
    result_.new_steps += static_cast<std::int64_t>(trace.steps.size()) - trace.repeated;
    const RunItem& item = trace.item;
    if (item.ending == Ending::kFailed) {
      ++result_.failed;
      ++in_a_row_;
      if (result_.first_failure.empty()) {
        result_.first_failure = item.id + ": " + item.reason;
        warning_ = options_.noun + " " + result_.first_failure;
      }
    } else {
      in_a_row_ = 0;
      ++unreported_;
    }
    if (!log_.storage) return;
    if (Status status = log_.store.finish(item.ordinal, item.ending, item.reason); !status) log_.storage = status;
  }

  // Commits when it is time to; only then are items reported as done.
  Status save(bool now) {
    if (!log_.storage) return log_.storage;
    const auto begin = Clock::now();
    if (!now && begin - saved_ < pause_) return {};
    if (Status status = log_.store.commit(); !status) return status;
    saved_ = Clock::now();
    pause_ = std::clamp(100 * (saved_ - begin), kCommitEvery, kCommitAtLeastEvery);
    done_ += std::exchange(unreported_, 0);
    report();
    return {};
  }

  void report() {
    if (!events_) return;
    if (!warning_.empty()) {
      Event event;
      event.kind = Event::Kind::kWarning;
      event.stage = options_.stage;
      event.text = std::exchange(warning_, {});
      events_(event);
    }
    // Long before the first item is done there is something to see.
    Event calls;
    calls.kind = Event::Kind::kMetric;
    calls.stage = options_.stage;
    calls.name = "calls";
    calls.value = static_cast<double>(log_.made);
    events_(calls);
    Event event;
    event.stage = options_.stage;
    event.done = done_;
    event.total = total_;
    event.unit = options_.noun + "s";
    events_(event);
  }

  StepLog& log_;
  const WalkOptions& options_;
  const ItemTask& task_;
  const EventSink& events_;
  InFlight<ItemTrace> flying_;
  WalkResult result_;
  std::int64_t next_ = 0, total_, done_, unreported_ = 0;
  int in_a_row_ = 0;
  bool exhausted_ = false;
  std::optional<Error> limit_;  // a ceiling was reached: nothing new is begun
  std::string warning_;
  Clock::time_point saved_ = Clock::now();
  Clock::duration pause_ = kCommitEvery;  // between commits
};

}  // namespace

Result<WalkResult> walk(StepLog& log, const WalkOptions& options, const ItemTask& task, const Advance& advance, const EventSink& events) {
  const auto total = log.store.item_count(), open = log.store.open_count();
  if (!total) return tl::unexpected<Error>(total.error());
  if (!open) return tl::unexpected<Error>(open.error());
  return Walk(log, options, task, events, *total, *open).to_the_end(advance);
}

}  // namespace precept
