#include "cli/token_meter.h"

#include <utility>

#include "precept/core/rng.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

class Counted : public Model {
 public:
  Counted(std::unique_ptr<Model> model, TokenMeter& meter) : model_(std::move(model)), meter_(meter) {}
  const ModelInfo& info() const override { return model_->info(); }
  void submit(GenerateRequest request, GenerateDone done) override {
    model_->submit(std::move(request), [this, done = std::move(done)](Result<Generation> answer) {
      if (answer) meter_.asked(answer->usage);
      done(std::move(answer));
    });
  }
  void submit(ScoreRequest request, ScoreDone done) override {
    const std::uint64_t question = hash64(request_digest(request, model_->info().digest));
    model_->submit(std::move(request), [this, question, done = std::move(done)](Result<Scores> answer) {
      if (answer) meter_.scored(question, answer->usage);
      done(std::move(answer));
    });
  }
  std::size_t advance(std::chrono::milliseconds wait) override { return model_->advance(wait); }

 private:
  std::unique_ptr<Model> model_;
  TokenMeter& meter_;
};

}  // namespace

std::unique_ptr<Model> TokenMeter::around(std::unique_ptr<Model> model) { return std::make_unique<Counted>(std::move(model), *this); }

void TokenMeter::scored(std::uint64_t question, const Usage& usage) {
  if (paused_ || !seen_.insert(question).second) return;
  fresh_.push_back(question);
  add({0, usage.prompt_tokens + usage.output_tokens, 0});
}

std::vector<std::uint64_t> TokenMeter::take_fresh() { return std::exchange(fresh_, {}); }

void TokenMeter::restore(const TokensSpent& count, const std::vector<std::uint64_t>& questions) {
  count_ = count;
  seen_ = {questions.begin(), questions.end()};
  fresh_.clear();
}

}  // namespace precept
