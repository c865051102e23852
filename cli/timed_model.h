#pragma once
// A model with a clock: how much time passes inside it, and what its requests took together.

#include <chrono>

#include "precept/model/model.h"

namespace precept {

// Borrows the model. What runs in completions is not the model's time.
class TimedModel : public Model {
 public:
  explicit TimedModel(Model& model) : model_(model) {}

  const ModelInfo& info() const override { return model_.info(); }
  void submit(GenerateRequest request, GenerateDone done) override { submit_timed<Generation>(std::move(request), std::move(done)); }
  void submit(ScoreRequest request, ScoreDone done) override { submit_timed<Scores>(std::move(request), std::move(done)); }
  std::size_t advance(std::chrono::milliseconds wait) override {
    const Clock::time_point start = Clock::now();
    const double outside = outside_;
    const std::size_t left = model_.advance(wait);
    inside_ += seconds(start) - (outside_ - outside);
    return left;
  }

  double seconds_inside() const { return inside_; }
  std::int64_t calls() const { return calls_; }
  const Usage& usage() const { return usage_; }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

  template <class Answer, class Request, class Done>
  void submit_timed(Request request, Done done) {
    const Clock::time_point start = Clock::now();
    ++calls_;
    model_.submit(std::move(request), [this, done = std::move(done)](Result<Answer> answer) {
      if (answer) usage_ += answer->usage;
      const Clock::time_point back = Clock::now();
      const double inside = inside_;
      done(std::move(answer));
      // Submitting from a completion is the model's time again.
      outside_ += seconds(back) - (inside_ - inside);
    });
    inside_ += seconds(start);
  }

  Model& model_;
  double inside_ = 0, outside_ = 0;
  std::int64_t calls_ = 0;
  Usage usage_;
};

}  // namespace precept
