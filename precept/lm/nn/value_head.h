#pragma once
// A scalar of a sequence: the product of its last state (Pass::last_states) with one row of weights, as transformers'
// LlamaForSequenceClassification with one label computes it ("score.weight").

#include <vector>

#include "precept/lm/nn/llama.h"

namespace precept::nn {

// The values of the sequences, which need two tokens each; the last one is not seen (see Pass::last_states). `head`: hidden_size.
std::vector<double> sequence_values(Pass& pass, const Weights& weights, const float* head, int hidden_size,
                                    const std::vector<const TrainExample*>& sequences);

// Adds to `gradient` (as for Pass::run) and to `head_gradient` the gradient of a loss whose derivatives by the sequences'
// values are given. Runs them forwards again.
void sequence_values_back(Pass& pass, const Weights& weights, const float* head, int hidden_size,
                          const std::vector<const TrainExample*>& sequences, const std::vector<double>& derivatives, float* gradient,
                          float* head_gradient);

}  // namespace precept::nn
