#pragma once
// Loss, gradient and optimiser step of one batch on several threads. How many there are changes no bit of the result.

#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "precept/lm/nn/llama.h"
#include "precept/lm/train/adamw.h"
#include "precept/lm/train/batches.h"
#include "precept/lm/train/lanes.h"

namespace precept {

class BatchTrainer {
 public:
  // With `lora` the weights are frozen, and what is trained is an adapter of that layout. `head`: floats of a value head, which
  // lie behind what is trained.
  BatchTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads, std::size_t head = 0);

  // The weights that an adapter is trained on, as they are.
  void freeze(const std::vector<float>& weights);
  // Goes on from these weights, rounded to bf16; from this adapter, not rounded.
  void take(const std::vector<float>& master);
  // Mean loss and gradient of the batch; the trainer holds the gradient.
  nn::LossSum loss_and_gradient(const Batch& batch);
  // The same of scale * sum of weight * -log p, whatever the weights are: an objective's derivatives, say.
  nn::LossSum gradient(const std::vector<const TrainExample*>& examples, float scale);
  // Forwards alone; see forward.h.
  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& examples);
  // Of the value head: the sequences' values; and the gradient of a loss whose derivatives by them are given.
  std::vector<double> values(const std::vector<TrainExample>& examples);
  void value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives);
  double gradient_norm() const { return std::sqrt(std::accumulate(norms_.begin(), norms_.end(), 0.0)); }
  // One step along the gradient times `scale`.
  void update(AdamW& optimizer, double lr, double scale);
  // The weights under an adapter.
  const nn::Weights& base() const { return weights_; }
  const nn::Kernels& kernels() const { return kernels_; }
  int threads() const { return threads_; }
  // What is trained, as the passes see it.
  std::vector<float> weights() const { return {trained().begin(), trained().end()}; }

 private:
  // A slice of one tensor, for the optimiser.
  struct Slice {
    std::size_t begin, end;
    bool decay;
  };

  float* cleared(std::size_t lane);
  const float* head() const { return trained().data() + head_; }
  void sum_lanes();
  void add_slices(std::size_t offset, std::size_t size, bool decay);
  const nn::Floats& trained() const { return lora_ ? lora_->flat : weights_.flat; }
  void pack();

  const nn::Layout& layout_;
  const nn::Kernels& kernels_;
  int threads_;
  std::size_t head_;       // where the value head begins; what comes before are weights or an adapter
  nn::Weights weights_;
  std::unique_ptr<nn::LoraWeights> lora_;  // where an adapter is trained
  std::vector<nn::Pass> passes_;
  std::array<nn::Floats, kLanes> gradients_;
  std::vector<Slice> slices_;
  std::vector<double> norms_;  // of slices, squared
};

}  // namespace precept
