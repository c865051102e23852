#pragma once
// Log-probabilities and values of many sequences on several threads, forwards only.

#include <memory>
#include <vector>

#include "precept/lm/nn/llama.h"
#include "precept/lm/train/lanes.h"

namespace precept {

// One for each lane. [sequence][i]: log p(token i | tokens before it) where weights[i] is not 0 and i > 0, else 0.
std::vector<std::vector<float>> logprobs_of(std::vector<nn::Pass>& passes, const nn::Weights& weights,
                                            const std::vector<const TrainExample*>& sequences, int threads);
// nn::sequence_values of all; each needs two tokens.
std::vector<double> values_of(std::vector<nn::Pass>& passes, const nn::Weights& weights, const float* head, int hidden_size,
                              const std::vector<const TrainExample*>& sequences, int threads);

// A model that is not trained: a reference, or a reward model. Weights that it owns, or those of a trainer's frozen base.
class FrozenModel {
 public:
  // `flat`: as the layout, and a value head behind it where there is one. All but the weights is borrowed.
  FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const std::vector<float>& flat, int threads);
  FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const nn::Weights& base, int threads);

  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& sequences);
  std::vector<double> values(const std::vector<TrainExample>& sequences);

 private:
  const nn::Layout& layout_;
  std::unique_ptr<nn::Weights> own_;
  const nn::Weights& weights_;
  std::vector<nn::Pass> passes_;
  int threads_;
};

}  // namespace precept
