#include "precept/revise/schedule.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;
// A commit syncs the disk: finished steps wait for company, so long that commits take a hundredth of the time, but not longer than a second:
// more than that a kill never loses.
constexpr Clock::duration kCommitEvery = std::chrono::milliseconds(250);
constexpr Clock::duration kCommitAtLeastEvery = std::chrono::seconds(1);

// Keeps up to `concurrency` items in flight and the store up to date.
class Scheduler {
 public:
  Scheduler(ReviseRun& run, const ItemTask& task, const char* stage, const EventSink& events)
      : run_(run), task_(task), stage_(stage), events_(events) {}

  Result<ReviseResult> work() {
    auto total = run_.store.item_count();
    if (!total) return tl::unexpected<Error>(total.error());
    const auto open = run_.store.open_count();
    if (!open) return tl::unexpected<Error>(open.error());
    total_ = *total;
    done_ = total_ - *open;
    slots_.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(*open, 1, run_.options.concurrency)));
    for (std::size_t i = slots_.size(); i-- > 0;) free_.push_back(i);
    report();
    while (true) {
      if (Status status = fill(); !status) return tl::unexpected<Error>(status.error());
      if (flying_ == 0) break;
      const auto before = std::pair(run_.answers, result_.items);
      const std::size_t in_flight = advance();
      collect();
      const bool idle = in_flight == 0 && before == std::pair(run_.answers, result_.items);
      idle_ = idle ? idle_ + 1 : 0;
      if (idle_ > 2) return failed("a model dropped a request without an answer", "this is a bug of its backend");
      if (Status status = save(false); !status) return tl::unexpected<Error>(status.error());
    }
    if (Status status = save(true); !status) return tl::unexpected<Error>(status.error());
    if (limit_) return tl::unexpected<Error>(*limit_);
    if (gave_up()) {
      return failed(std::to_string(in_a_row_) + " items in a row failed: " + result_.first_failure,
                    "mend the cause and run again: it goes on where it stopped");
    }
    return result_;
  }

 private:
  bool gave_up() const { return run_.options.give_up_after > 0 && in_a_row_ >= run_.options.give_up_after; }

  // An item, and word of its end: to look at all that are in flight after each step would touch every one's memory.
  static Task<ItemTrace> watch(Task<ItemTrace> item, std::size_t slot, std::vector<std::size_t>& ended) {
    ItemTrace trace = co_await item;
    ended.push_back(slot);
    co_return trace;
  }

  // Starts items in free slots. An item whose steps are all stored ends at once.
  Status fill() {
    while (!free_.empty() && !exhausted_ && !gave_up() && !limit_) {
      auto item = run_.store.next_open_item(next_);
      if (!item) return tl::unexpected<Error>(item.error());
      if (!*item) {
        exhausted_ = true;
        break;
      }
      next_ = (*item)->ordinal + 1;
      auto stored = run_.store.steps((*item)->ordinal);
      if (!stored) return tl::unexpected<Error>(stored.error());
      const std::size_t slot = free_.back();
      free_.pop_back();
      slots_[slot].emplace(watch(task_(run_, std::move(**item), std::move(*stored)), slot, ended_));
      ++flying_;
      slots_[slot]->start();
      collect();
      if (!run_.storage) return run_.storage;
    }
    return {};
  }

  std::size_t advance() {
    const bool two = &run_.policy != &run_.judge;
    // With two models neither may sleep while the other could work.
    const std::chrono::milliseconds wait(two ? 2 : 50);
    std::size_t in_flight = run_.policy.advance(wait);
    if (two) in_flight += run_.judge.advance(wait);
    return in_flight;
  }

  // Takes finished items out of their slots.
  void collect() {
    for (const std::size_t slot : ended_) {
      take(slots_[slot]);
      free_.push_back(slot);
    }
    ended_.clear();
  }

  void take(std::optional<Task<ItemTrace>>& slot) {
    const ItemTrace trace = slot->take();
    slot.reset();
    --flying_;
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
        warning_ = "item " + result_.first_failure;
      }
    } else {
      in_a_row_ = 0;
      ++unreported_;
    }
    if (!run_.storage) return;
    if (Status status = run_.store.finish(item.ordinal, item.ending, item.reason); !status) run_.storage = status;
  }

  // Commits when it is time to; only then are items reported as done.
  Status save(bool now) {
    if (!run_.storage) return run_.storage;
    const auto begin = Clock::now();
    if (!now && begin - saved_ < pause_) return {};
    if (Status status = run_.store.commit(); !status) return status;
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
      event.stage = stage_;
      event.text = std::exchange(warning_, {});
      events_(event);
    }
    // Long before the first item is done there is something to see.
    Event calls;
    calls.kind = Event::Kind::kMetric;
    calls.stage = "revise";
    calls.name = "calls";
    calls.value = static_cast<double>(run_.answers);
    events_(calls);
    Event event;
    event.stage = stage_;
    event.done = done_;
    event.total = total_;
    event.unit = "items";
    events_(event);
  }

  ReviseRun& run_;
  const ItemTask& task_;
  const char* stage_;
  const EventSink& events_;
  std::vector<std::optional<Task<ItemTrace>>> slots_;
  std::vector<std::size_t> free_, ended_;  // slots
  ReviseResult result_;
  std::int64_t next_ = 0, flying_ = 0, total_ = 0, done_ = 0, unreported_ = 0;
  int in_a_row_ = 0, idle_ = 0;
  bool exhausted_ = false;
  std::optional<Error> limit_;  // a ceiling was reached: nothing new is begun
  std::string warning_;
  Clock::time_point saved_ = Clock::now();
  Clock::duration pause_ = kCommitEvery;  // between commits
};

}  // namespace

Result<ReviseResult> run_items(ReviseRun& run, const ItemTask& task, const char* stage, const EventSink& events) {
  return Scheduler(run, task, stage, events).work();
}

Result<ReviseResult> revise(const Constitution& constitution, const ReviseOptions& options, Model& policy,
                            Model& judge, RunStore& store, const EventSink& events) {
  if (Status status = check(options); !status) return tl::unexpected<Error>(status.error());
  if (constitution.principles.empty()) {
    return bad_input("the constitution has no principles", "add a [[principle]]", constitution.file);
  }
  const auto templates = resolve_templates(constitution);
  if (!templates) return tl::unexpected<Error>(templates.error());
  ReviseRun run{options, constitution, *templates, policy, judge, store, Status{}, 0};
  return run_items(run, revise_item, "revise", events);
}

}  // namespace precept
