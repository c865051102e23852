#pragma once
// What a course trains with: the weights, and loss, gradient and optimiser step of one batch; on this processor (cpu_trainer.h), or on
// a device of libtorch (lm/torch/torch_trainer.h).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "precept/lm/infer/engine.h"
#include "precept/lm/nn/llama.h"
#include "precept/lm/train/adamw.h"
#include "precept/lm/train/batches.h"
#include "precept/lm/train/world.h"

namespace precept {

// A model that is not trained, which others are compared with.
class Reference {
 public:
  virtual ~Reference() = default;
  // As BatchTrainer's.
  virtual std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& sequences) = 0;
};

// What is trained are all weights of a layout, or an adapter on weights that stay as they are; and behind it, where there is one, a
// value head. All of it together is flat, in that order. A trainer holds one gradient of it, that of the last call that makes one.
// What lies on a device may be out of memory or fail at any call: std::bad_alloc, std::runtime_error; WorldError: world.h.
class BatchTrainer {
 public:
  // Of several processes all call the same functions with the same arguments. `world` (may be null) is borrowed.
  BatchTrainer(bool adapter, World* world) : adapter_(adapter), world_(world) {}
  virtual ~BatchTrainer() = default;

  // The weights that an adapter is trained on, as they are.
  virtual void freeze(const std::vector<float>& weights) = 0;
  // Goes on from these masters and moments.
  virtual void begin(const AdamW& optimizer) = 0;
  // Passes see these weights, rounded to bf16, or this adapter, not rounded, until the next update.
  virtual void take(const std::vector<float>& master) = 0;
  // What passes see of these masters.
  std::vector<float> seen(std::vector<float> master) const;

  // Mean loss and gradient of the batch.
  nn::LossSum loss_and_gradient(const Batch& batch);
  // The same of scale * sum of weight * -log p, whatever the weights are: an objective's derivatives, say.
  virtual nn::LossSum gradient(const std::vector<const TrainExample*>& examples, float scale) = 0;
  // The gradient of an objective of the log-probabilities of the tokens whose weight is not 0, in one pass. derive(i, logp) gives the
  // objective's derivatives by those of example i, whatever the other examples' are; it may be called from several threads. Returns all
  // log-probabilities, as logprobs() does.
  using Derive = std::function<std::vector<float>(std::size_t, std::span<const float>)>;
  virtual std::vector<std::vector<float>> objective_gradient(const std::vector<TrainExample>& examples, const Derive& derive) = 0;
  // Forwards and backwards once over as many tokens as will ever run together, the longest sequence among them: where memory does not
  // suffice, that shows now. Changes nothing.
  virtual void rehearse(std::size_t longest) = 0;
  // Tokens that run through the model together, unless one sequence has more.
  virtual std::size_t tokens_together() const = 0;
  // [example][i]: log p(token i | tokens before it) where weights[i] is not 0 and i > 0, else 0.
  virtual std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& examples) = 0;
  // Of the value head: the sequences' values (nn::sequence_values), and the gradient of a loss whose derivatives by them are given.
  virtual std::vector<double> values(const std::vector<TrainExample>& examples) = 0;
  virtual void value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives) = 0;

  virtual double gradient_norm() = 0;
  // One step along the gradient times `scale`, which is counted in `optimizer`.
  virtual void update(AdamW& optimizer, double lr, double scale) = 0;
  // Brings what lies elsewhere: the masters, and the moments if they are wanted.
  virtual void fetch(AdamW& optimizer, bool moments) = 0;

  // These weights as a model that stays as it is, rounded to bf16; none: those that an adapter is trained on.
  virtual std::unique_ptr<Reference> reference(std::optional<std::vector<float>> weights) = 0;
  // Answers with what is trained, as it is then: whoever changes it calls forget() of the engine before the next request.
  virtual Result<std::unique_ptr<infer::Engine>> open_engine(TokenizerFiles files, const std::string& tokenizer_folder, const EngineOptions& options) = 0;
  // Another number after every change of what passes see.
  std::uint64_t version() const { return version_; }
  World* world() const { return world_; }

 protected:
  const bool adapter_;
  World* const world_;
  std::uint64_t version_ = 0;
};

// On options.device. Borrowed: the options, both layouts and `world`, which may be null. `lora`: of the adapter that is trained; null:
// all weights are. `head`: floats of a value head. `full_logits`: nn::PassOptions, for comparison; the processor's alone.
Result<std::unique_ptr<BatchTrainer>> open_trainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, std::size_t head,
                                                   World* world, bool full_logits = false);

}  // namespace precept
