#include "precept/feedback/solve.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "precept/feedback/code/code_test.h"
#include "precept/feedback/solve_item.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Clock::duration kCommitEvery = std::chrono::milliseconds(200);

// Keeps up to `concurrency` samples in flight, the model and the sandbox busy, and the store up to date.
class Solver {
 public:
  Solver(SolveRun& run, const EventSink& events) : run_(run), events_(events) {}

  Result<SolveResult> work() {
    const auto total = run_.store.item_count(), open = run_.store.open_count();
    if (!total) return tl::unexpected(total.error());
    if (!open) return tl::unexpected(open.error());
    total_ = *total;
    done_ = total_ - *open;
    slots_.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(*open, 1, run_.options.concurrency)));
    report();
    for (int idle = 0;;) {
      if (Status status = fill(); !status) return tl::unexpected(status.error());
      if (flying_ == 0) break;
      const auto before = std::pair(run_.steps, result_.items);
      const std::size_t busy = advance();
      for (auto& slot : slots_) {
        if (slot && slot->done()) take(slot);
      }
      idle = busy == 0 && before == std::pair(run_.steps, result_.items) ? idle + 1 : 0;
      if (idle > 2) return failed("a model dropped a request without an answer", "this is a bug of its backend");
      if (Status status = save(false); !status) return tl::unexpected(status.error());
    }
    if (Status status = save(true); !status) return tl::unexpected(status.error());
    if (limit_) return tl::unexpected(*limit_);
    if (gave_up()) {
      return failed(std::to_string(in_a_row_) + " samples in a row failed: " + result_.first_failure,
                    "mend the cause and run again: it goes on where it stopped");
    }
    return result_;
  }

 private:
  bool gave_up() const { return run_.options.give_up_after > 0 && in_a_row_ >= run_.options.give_up_after; }

  Status fill() {
    for (auto& slot : slots_) {
      while (!slot && !exhausted_ && !gave_up() && !limit_) {
        auto item = run_.store.next_open_item(next_);
        if (!item) return tl::unexpected(item.error());
        if (!*item) {
          exhausted_ = true;
          break;
        }
        next_ = (*item)->ordinal + 1;
        auto stored = run_.store.steps((*item)->ordinal);
        if (!stored) return tl::unexpected(stored.error());
        slot.emplace(solve_item(run_, std::move(**item), std::move(*stored)));
        ++flying_;
        slot->start();
        if (slot->done()) take(slot);
        if (!run_.storage) return run_.storage;
      }
    }
    return {};
  }

  // A busy model is not waited for while tests could be collected, nor tests while the model could work.
  std::size_t advance() {
    const std::size_t testing = run_.sandbox.advance(std::chrono::milliseconds(0));
    const std::size_t writing = run_.model.advance(std::chrono::milliseconds(testing > 0 ? 2 : 50));
    if (writing == 0 && testing > 0) return run_.sandbox.advance(std::chrono::milliseconds(50));
    return testing + writing;
  }

  void take(std::optional<Task<SampleTrace>>& slot) {
    const SampleTrace trace = slot->take();
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
      if (result_.first_failure.empty()) result_.first_failure = item.id + ": " + item.reason;
    } else {
      in_a_row_ = 0;
      ++unreported_;
    }
    if (!run_.storage) return;
    if (Status status = run_.store.finish(item.ordinal, item.ending, item.reason); !status) run_.storage = status;
  }

  // Only what is committed is reported as done.
  Status save(bool now) {
    if (!run_.storage) return run_.storage;
    if (!now && Clock::now() - saved_ < kCommitEvery) return {};
    if (Status status = run_.store.commit(); !status) return status;
    saved_ = Clock::now();
    done_ += std::exchange(unreported_, 0);
    report();
    return {};
  }

  void report() {
    if (!events_) return;
    Event event;
    event.stage = "solve";
    event.done = done_;
    event.total = total_;
    event.unit = "samples";
    events_(event);
  }

  SolveRun& run_;
  const EventSink& events_;
  std::vector<std::optional<Task<SampleTrace>>> slots_;
  SolveResult result_;
  std::int64_t next_ = 0, flying_ = 0, total_ = 0, done_ = 0, unreported_ = 0;
  int in_a_row_ = 0;
  bool exhausted_ = false;
  std::optional<Error> limit_;
  Clock::time_point saved_ = Clock::now();
};

}  // namespace

Result<SolveResult> solve(const std::vector<CodeTask>& tasks, const SolveOptions& options, Model& model, Sandbox& sandbox,
                          RunStore& store, const EventSink& events) {
  SolveOptions copy = options;
  if (Status status = check_fields(fields_of(copy)); !status) return tl::unexpected(status.error());
  auto strategies = strategies_of(options);
  if (!strategies) return tl::unexpected(strategies.error());
  SandboxLimits limits = code_limits();
  limits.wall_seconds = limits.cpu_seconds = options.time_limit;
  limits.memory_bytes = static_cast<std::uint64_t>(options.memory_limit) << 20;
  const std::uint64_t budget = budget_of(options, *strategies);
  SolveRun run{tasks, options, std::move(*strategies), budget, limits, model, sandbox, store, Status{}, 0};
  return Solver(run, events).work();
}

}  // namespace precept
