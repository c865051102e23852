#include "precept/lm/train/trainer.h"

#include "precept/lm/train/course.h"
#include "precept/lm/train/probe.h"

namespace precept {
namespace {

// The objective whose derivatives do not depend on the log-probabilities: one pass does it all.
class Supervised : public Lesson {
 public:
  Supervised(const LessonStart& start, const TrainSet& set, std::unique_ptr<Probe> probe)
      : batches_(set, start.options, longest_sequence(start.options, start.subject.layout.config), start.subject.layout.config.vocab_size,
                 start.position),
        probe_(std::move(probe)) {}

  bool done() const override { return batches_.done(); }

  Result<Taught> teach(BatchTrainer& trainer) override {
    Result<Batch> batch = batches_.next();
    if (!batch) return tl::unexpected(batch.error());
    const nn::LossSum sum = trainer.loss_and_gradient(*batch);
    Taught taught = taught_from(*batch);
    taught.weight = sum.weight;
    if (sum.weight > 0) taught.loss = sum.loss / sum.weight;
    return taught;
  }

  Result<std::optional<Reading>> look(BatchTrainer& trainer, std::int64_t step) override { return probe_->look(trainer, step); }

 private:
  Batches batches_;
  std::unique_ptr<Probe> probe_;
};

}  // namespace

Taught taught_from(const Batch& batch) {
  Taught taught;
  taught.examples = static_cast<std::int64_t>(batch.examples.size());
  taught.tokens = batch.tokens;
  taught.trained_tokens = batch.trained_tokens;
  taught.truncated = batch.truncated;
  taught.used = static_cast<std::int64_t>(batch.items.size());
  taught.next = batch.next;
  return taught;
}

Result<TrainSummary> train(const TrainOptions& options, const TrainSet& set, const EventSink& sink) {
  Course course{"sft", "{}", set.digest, set.count, false, [&set](const LessonStart& start) -> Result<std::unique_ptr<Lesson>> {
                  const int limit = longest_sequence(start.options, start.subject.layout.config);
                  auto probe = Probe::make(start, {}, nullptr);
                  if (!probe) return tl::unexpected(probe.error());
                  if (Status fits = rehearse(start, longest_of(set, limit)); !fits) return tl::unexpected(fits.error());
                  return std::make_unique<Supervised>(start, set, std::move(*probe));
                }};
  return run_course(options, course, sink);
}

}  // namespace precept
