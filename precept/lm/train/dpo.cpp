// Direct preference optimisation: forwards for the sums of both answers, the objective, then backwards with its derivatives.

#include <nlohmann/json.hpp>

#include "precept/lm/train/objective.h"
#include "precept/lm/train/probe.h"
#include "precept/lm/train/trainer.h"

namespace precept {
namespace {

constexpr std::uint64_t kReferenceItems = 256;  // pairs whose reference is computed together

double sum_of(const std::vector<float>& logprobs) {
  double sum = 0;
  for (const float logp : logprobs) sum += double(logp);
  return sum;
}

// The weights of an objective that counts an answer as a whole: `d` for each of its tokens.
void weigh(TrainExample& example, double d) {
  for (float& weight : example.weights) weight = weight != 0 ? static_cast<float>(-d) : 0.0F;
}

// Sums of log-probabilities of every example by the reference, in the order of the set.
std::vector<double> reference_sums(const TrainSet& pairs, int limit, Reference& reference) {
  std::vector<double> sums;
  for (std::uint64_t begin = 0; begin < pairs.count; begin += kReferenceItems) {
    std::vector<TrainExample> examples;
    for (std::uint64_t i = 2 * begin; i < 2 * std::min(pairs.count, begin + kReferenceItems); ++i) {
      examples.push_back(pairs.example(i));
      TrainExample& example = examples.back();
      const std::size_t length = std::min(example.tokens.size(), static_cast<std::size_t>(limit));
      example.tokens.resize(length);
      example.weights.resize(length);
    }
    for (const auto& logprobs : reference.logprobs(examples)) sums.push_back(sum_of(logprobs));
  }
  return sums;
}

class Preferences : public Lesson {
 public:
  Preferences(const LessonStart& start, const PreferenceOptions& preference, const TrainSet& pairs, int limit, std::unique_ptr<Reference> reference,
              std::unique_ptr<Probe> probe)
      : preference_(preference), pairs_(pairs), batches_(pairs, start.options, limit, start.subject.layout.config.vocab_size, start.position),
        reference_(std::move(reference)), reference_sums_(reference_sums(pairs, limit, *reference_)), probe_(std::move(probe)) {}

  bool done() const override { return batches_.done(); }

  Result<Taught> teach(BatchTrainer& trainer) override {
    Result<Batch> batch = batches_.next();
    if (!batch) return tl::unexpected(batch.error());
    Taught taught = taught_from(*batch);
    std::vector<TrainExample>& examples = batch->examples;
    const auto logprobs = trainer.logprobs(examples);
    const auto n = static_cast<double>(batch->items.size());
    double margin = 0, right = 0;
    for (std::size_t i = 0; i < batch->items.size(); ++i) {
      const std::uint64_t item = batch->items[i];
      const PairLogps pair{sum_of(logprobs[2 * i]), sum_of(logprobs[2 * i + 1]), reference_sums_[2 * item], reference_sums_[2 * item + 1],
                           pairs_.label ? pairs_.label(item) : 1.0};
      const PairLoss loss = preference_loss(preference_, pair);
      taught.loss += loss.loss / n;
      margin += loss.margin / n;
      right += (loss.margin > 0 ? 1 : 0) / n;
      weigh(examples[2 * i], loss.d_chosen / n);
      weigh(examples[2 * i + 1], loss.d_rejected / n);
    }
    trainer.gradient(pointers_to(examples), 1.0F);
    taught.weight = n;
    taught.metrics = {{"margin", margin}, {"implicit_accuracy", right}};
    return taught;
  }

  Result<std::optional<Reading>> look(BatchTrainer& trainer, std::int64_t step) override { return probe_->look(trainer, step); }

 private:
  const PreferenceOptions& preference_;
  const TrainSet& pairs_;
  Batches batches_;
  std::unique_ptr<Reference> reference_;
  std::vector<double> reference_sums_;
  std::unique_ptr<Probe> probe_;
};

Status check(const PreferenceOptions& o, const TrainSet& pairs) {
  if (o.loss != "sigmoid" && o.loss != "ipo") return bad_input("loss must be sigmoid or ipo, not \"" + o.loss + "\"");
  if (!(o.beta > 0)) return bad_input("beta must be positive");
  if (!(o.label_smoothing >= 0 && o.label_smoothing < 0.5)) return bad_input("label_smoothing must be from 0 to below 0.5");
  if (pairs.group != 2) return bad_input("preferences are learnt from pairs");
  return {};
}

}  // namespace

Result<TrainSummary> train_preferences(const TrainOptions& options, const PreferenceOptions& preference, const TrainSet& pairs,
                                       const EventSink& sink) {
  if (Status fine = check(preference, pairs); !fine) return tl::unexpected(fine.error());
  if (options.from.empty()) return bad_input("preferences need a model to start from");
  Course course{"dpo", nlohmann::json{{"loss", preference.loss}, {"beta", preference.beta}, {"label_smoothing", preference.label_smoothing}}.dump(),
                pairs.digest, pairs.count, false, [&](const LessonStart& start) -> Result<std::unique_ptr<Lesson>> {
                  const int limit = longest_sequence(start.options, start.subject.layout.config);
                  auto reference = reference_of(start);
                  if (!reference) return tl::unexpected(reference.error());
                  auto probe = Probe::make(start, {}, reference->get());
                  if (!probe) return tl::unexpected(probe.error());
                  if (Status fits = rehearse(start, longest_of(pairs, limit)); !fits) return tl::unexpected(fits.error());
                  return std::make_unique<Preferences>(start, preference, pairs, limit, std::move(*reference), std::move(*probe));
                }};
  return run_course(options, course, sink);
}

}  // namespace precept
