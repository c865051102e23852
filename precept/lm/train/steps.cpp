#include "precept/lm/train/steps.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

namespace precept {
namespace {

constexpr int kReportEvery = 10;  // steps

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Reporter {
 public:
  Reporter(const EventSink& sink, std::int64_t total) : sink_(sink), total_(total) {}
  void metric(const char* name, std::int64_t step, double value) const {
    Event event;
    event.kind = Event::Kind::kMetric;
    event.stage = "train";
    event.name = name;
    event.step = step;
    event.value = value;
    if (sink_) sink_(event);
  }
  void warn(std::string text) const {
    Event event;
    event.kind = Event::Kind::kWarning;
    event.stage = "train";
    event.text = std::move(text);
    if (sink_) sink_(event);
  }
  void progress(std::int64_t done) const {
    Event event;
    event.stage = "train";
    event.done = done;
    event.total = total_;
    event.unit = "examples";
    if (sink_) sink_(event);
  }

 private:
  const EventSink& sink_;
  std::int64_t total_;
};

class Steps {
 public:
  Steps(const TrainOptions& options, std::uint64_t items, Lesson& lesson, BatchTrainer& trainer, TrainState& state, const EventSink& sink)
      : options_(options), lesson_(lesson), trainer_(trainer), state_(state), total_(static_cast<double>(items) * options.epochs),
        report_(sink, static_cast<std::int64_t>(items) * options.epochs), seconds_before_(state.summary.seconds) {}

  Result<std::vector<float>> run() {
    // A resumed run has this look behind it: another one, wherever it was killed, would be one that an undisturbed run has not.
    if (state_.optimizer.step == 0) {
      if (Status begun = look(false); !begun) return tl::unexpected(begun.error());
    }
    ask_enough();
    while (!over() && state_.summary.halted.empty()) {
      Result<Taught> taught = lesson_.teach(trainer_);
      if (!taught) return tl::unexpected(taught.error());
      count(*taught);
      if (taught->weight == 0) continue;
      if (Status stepped = step(*taught); !stepped) return tl::unexpected(stepped.error());
    }
    if (state_.optimizer.step == 0) {
      return bad_input("no example has a token to learn", "every weight after an example's first token is 0");
    }
    ask_enough();  // once more: what came after the last step was not told yet
    state_.summary.seconds = seconds_before_ + since(start_);
    if (Status saved = save(); !saved) return tl::unexpected(saved.error());
    report_.progress(state_.used);
    trainer_.fetch(state_.optimizer, false);
    if (state_.summary.halted.empty()) return trainer_.seen(std::move(state_.optimizer.master));
    trainer_.take(state_.good);
    return trainer_.seen(std::move(state_.good));
  }

 private:
  bool over() const { return lesson_.done() || enough_; }
  void ask_enough() {
    if (options_.enough) enough_ = options_.enough(state_.used, state_.summary) && state_.optimizer.step > 0;
  }

  void count(const Taught& taught) {
    state_.position = taught.next;
    state_.used += taught.used;
    TrainSummary& s = state_.summary;
    s.examples += taught.examples;
    s.tokens += taught.tokens;
    s.trained_tokens += taught.trained_tokens;
    s.truncated += taught.truncated;
    s.seconds = seconds_before_ + since(start_);
  }

  // One step of the optimiser, with the gradient that the trainer holds.
  Status step(const Taught& taught) {
    TrainSummary& s = state_.summary;
    const std::int64_t step = state_.optimizer.step + 1;
    const double norm = trainer_.gradient_norm();
    if (!std::isfinite(taught.loss) || !std::isfinite(norm)) {
      return failed(fmt::format("step {}: the {} is not finite", step, std::isfinite(taught.loss) ? "gradient" : "loss"),
                    "lower the learning rate");
    }
    // The rate of a step is that of the middle of its items, so that neither end is 0.
    const double seen = static_cast<double>(state_.used) - 0.5 * static_cast<double>(taught.used);
    const double lr = options_.lr * lr_share(std::min(1.0, seen / total_), options_.warmup_share, options_.min_lr_share);
    const double clip = options_.clip_norm > 0 && norm > options_.clip_norm ? options_.clip_norm / norm : 1.0;
    trainer_.update(state_.optimizer, lr, clip);
    state_.losses.push_back(static_cast<float>(taught.loss));
    state_.weights.push_back(static_cast<float>(taught.weight));
    s.steps = step;
    ask_enough();
    const bool told = step % kReportEvery == 0 || step == 1 || over() || !taught.metrics.empty();
    if (told) {
      report_.metric("loss", step, taught.loss);
      report_.metric("lr", step, lr);
      report_.metric("grad_norm", step, norm);
      for (const auto& [name, value] : taught.metrics) report_.metric(name.c_str(), step, value);
    }
    const int every = options_.guard.every;
    if (over() || (every > 0 && step % every == 0)) {
      if (Status looked = look(over()); !looked) return looked;
    }
    if (Status kept = keep(step, taught.resumable); !kept) return kept;
    // Last: whoever listens may leave, when asked to stop, and takes what was reported for stored.
    if (told && taught.resumable) report_.progress(state_.used);
    return {};
  }

  // The state, when it is due, at the next step that can be resumed.
  Status keep(std::int64_t step, bool resumable) {
    due_ = due_ || (options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0);
    if (!resumable) return {};
    if (asked_to_stop()) {
      if (Status saved = save(); !saved) return saved;
      return failed(fmt::format("stopped on request after step {}", step), "the same command goes on from there");
    }
    if (!due_) return {};
    due_ = false;
    return save();
  }

  // Where one of several processes is asked, all stop.
  bool asked_to_stop() const {
    const bool mine = options_.stop && options_.stop();
    World* world = trainer_.world();
    if (!world || world->size() == 1) return mine;
    const std::vector<std::string> all = world->gather(mine ? "1" : "0");
    return std::find(all.begin(), all.end(), "1") != all.end();
  }

  // What the first of several processes says: on a device they may differ in last bits, and all must do the same.
  std::string of_first(std::string text) const {
    World* world = trainer_.world();
    return world && world->size() > 1 ? world->gather(text).front() : std::move(text);
  }

  // Asks the guards. At the end a broken limit counts at once.
  Status look(bool last) {
    if (!options_.guard.on || blind_) return {};
    const std::int64_t step = state_.optimizer.step;
    std::vector<Reading>& readings = state_.readings;
    if (!readings.empty() && readings.back().step == step) return {};
    Result<std::optional<Reading>> reading = lesson_.look(trainer_, step);
    if (!reading) return tl::unexpected(reading.error());
    blind_ = !*reading;
    if (blind_) return {};
    if (!(*reading)->reward) (*reading)->reward = minus_loss();
    readings.push_back(**reading);
    report(readings.back());
    const std::string broken = of_first(broken_limits(options_.guard, readings));
    if (broken.empty()) {
      trainer_.fetch(state_.optimizer, false);
      state_.good = state_.optimizer.master;
      state_.good_step = step;
      return {};
    }
    const std::string reason = last ? broken : of_first(halting_reason(options_.guard, readings));
    if (reason.empty()) return {};
    state_.summary.halted = fmt::format("step {}: {}", step, reason);
    state_.summary.kept_step = state_.good_step;
    report_.warn(fmt::format("a guard stopped the training at {}. The weights of step {} are kept", state_.summary.halted, state_.good_step));
    return {};
  }

  std::optional<double> minus_loss() const {
    const std::vector<float>& losses = state_.losses;
    const std::size_t n = std::min(losses.size(), static_cast<std::size_t>(std::max(1, options_.guard.every)));
    if (n == 0) return std::nullopt;
    double sum = 0;
    for (std::size_t i = losses.size() - n; i < losses.size(); ++i) sum -= double(losses[i]);
    return sum / static_cast<double>(n);
  }

  void report(const Reading& r) const {
    each_number(r, [&](const char* name, const std::optional<double>& value) {
      if (value) report_.metric((std::string("guard_") + name).c_str(), r.step, *value);
    });
  }

  Status save() const {
    if (options_.state.empty() || options_.world.rank > 0) return {};
    trainer_.fetch(state_.optimizer, true);
    return save_state(options_.state, state_);
  }

  const TrainOptions& options_;
  Lesson& lesson_;
  BatchTrainer& trainer_;
  TrainState& state_;
  double total_;  // items of all epochs
  Reporter report_;
  double seconds_before_;
  bool due_ = false, blind_ = false, enough_ = false;
  Clock::time_point start_ = Clock::now();
};

}  // namespace

// Mean over the first (or last) 5% of steps, weighted by each step's weights.
double mean_loss(const TrainState& state, bool last) {
  const std::size_t n = state.losses.size();
  const std::size_t some = std::max<std::size_t>(1, n / 20);
  double loss = 0;
  double weight = 0;
  for (std::size_t i = 0; i < std::min(some, n); ++i) {
    const std::size_t at = last ? n - 1 - i : i;
    loss += double(state.losses[at]) * double(state.weights[at]);
    weight += double(state.weights[at]);
  }
  return weight > 0 ? loss / weight : 0.0;
}

Result<std::vector<float>> run_steps(const TrainOptions& options, std::uint64_t items, Lesson& lesson, BatchTrainer& trainer,
                                     TrainState& state, const EventSink& sink) {
  return Steps(options, items, lesson, trainer, state, sink).run();
}

}  // namespace precept
