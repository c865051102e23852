#pragma once
// What all trainers share: a lesson says what the gradient of the next step is; a course runs it to its end with one optimiser,
// schedule, clipping, resumable state, guards and outputs.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "precept/checkpoint/peft.h"
#include "precept/lm/nn/lora.h"
#include "precept/lm/train/batch_trainer.h"
#include "precept/lm/train/forward.h"
#include "precept/lm/train/guards.h"
#include "precept/lm/train/state.h"

namespace precept {

// One step's gradient, which the BatchTrainer then holds, and what it took.
struct Taught {
  double loss = 0, weight = 0;   // mean loss, and what it is the mean of; weight 0: there was nothing to learn, no step is made
  std::int64_t examples = 0, tokens = 0, trained_tokens = 0, truncated = 0;
  std::int64_t used = 0;         // items of the data that are used up; their share of all decides the learning rate
  Position next;                 // where a run goes on that is resumed after this step
  bool resumable = true;         // ... if it can be: else the state is kept at a later step
  std::vector<std::pair<std::string, double>> metrics;
};

// What a batch takes, without loss and weight.
Taught taught_from(const Batch& batch);

// One way of teaching. A lesson is begun anew on every resume: all that it carries from step to step follows from the position.
class Lesson {
 public:
  virtual ~Lesson() = default;
  virtual bool done() const = 0;
  virtual Result<Taught> teach(BatchTrainer& trainer) = 0;  // not when done
  // One look at what is trained, for the guards; nullopt: nothing can be measured, at no step. What is not measured of the
  // reward, the course fills in with minus the mean loss.
  virtual Result<std::optional<Reading>> look(BatchTrainer& trainer, std::int64_t step) = 0;
  // In the end, with the weights that are written.
  virtual Result<std::vector<std::pair<std::string, Estimate>>> measures(BatchTrainer&) { return std::vector<std::pair<std::string, Estimate>>(); }
};

// What is trained: all weights of the layout, or an adapter on weights that stay as they are; and a value head behind it.
struct Subject {
  const nn::Layout& layout;
  std::optional<LoraConfig> config;  // of an adapter
  std::optional<nn::LoraLayout> lora;
  std::size_t head = 0;
  std::size_t size() const { return (lora ? lora->size : layout.size) + head; }
};

// What a lesson may need to begin.
struct LessonStart {
  const TrainOptions& options;  // with defaults resolved
  const Subject& subject;
  BatchTrainer& trainer;        // holds the weights that the run goes on from
  Position position;
};

struct Course {
  std::string name;             // "sft", "dpo"...: part of the fingerprint
  std::string settings;         // JSON object of what decides the result besides TrainOptions
  std::string data_digest;
  std::uint64_t items = 0;      // of one epoch
  bool value_head = false;
  std::function<Result<std::unique_ptr<Lesson>>(const LessonStart&)> begin;
};

Result<TrainSummary> run_course(const TrainOptions& options, const Course& course, const EventSink& sink);

// Longest example of a set in tokens, up to `limit`. Reads all of it.
std::size_t longest_of(const TrainSet& set, int limit);
// Runs the trainer once over as much as it will ever hold (BatchTrainer::rehearse): memory fails at once or never.
Status rehearse(const LessonStart& start, std::size_t longest);
// Longest sequence that the options and the model's context allow.
int longest_sequence(const TrainOptions& options, const LlamaConfig& config);
// The start of a run as a model that stays as it is: `from`, rounded as the trainer sees it; with an adapter, its base.
Result<std::unique_ptr<Reference>> reference_of(const LessonStart& start);

}  // namespace precept
