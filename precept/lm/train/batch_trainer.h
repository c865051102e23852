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

namespace precept {

class BatchTrainer {
 public:
  // With `lora` the weights are frozen, and what is trained is an adapter of that layout.
  BatchTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads);

  // The weights that an adapter is trained on, as they are.
  void freeze(const std::vector<float>& weights);
  // Goes on from these weights, rounded to bf16; from this adapter, not rounded.
  void take(const std::vector<float>& master);
  // Mean loss and gradient of the batch; the trainer holds the gradient.
  nn::LossSum loss_and_gradient(const Batch& batch);
  double gradient_norm() const { return std::sqrt(std::accumulate(norms_.begin(), norms_.end(), 0.0)); }
  // One step along the gradient times `scale`.
  void update(AdamW& optimizer, double lr, double scale);
  // What is trained, as the passes see it.
  std::vector<float> weights() const { return {trained().begin(), trained().end()}; }

 private:
  static constexpr int kLanes = 4;  // gradients summed apart, then in order; lane 0 holds the sum
  using Lanes = std::array<std::vector<const TrainExample*>, kLanes>;

  // A slice of one tensor, for the optimiser.
  struct Slice {
    std::size_t begin, end;
    bool decay;
  };

  static Lanes deal(const Batch& batch);
  nn::LossSum run_lane(std::size_t lane, const std::vector<const TrainExample*>& examples, float scale);
  void sum_lanes();
  void add_slices(std::size_t offset, std::size_t size, bool decay);
  const nn::Floats& trained() const { return lora_ ? lora_->flat : weights_.flat; }
  void pack();

  const nn::Layout& layout_;
  const nn::Kernels& kernels_;
  int threads_;
  nn::Weights weights_;
  std::unique_ptr<nn::LoraWeights> lora_;  // where an adapter is trained
  std::vector<nn::Pass> passes_;
  std::array<nn::Floats, kLanes> gradients_;
  std::vector<Slice> slices_;
  std::vector<double> norms_;  // of slices, squared
};

}  // namespace precept
