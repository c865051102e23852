#include "precept/lm/nn/value_head.h"

namespace precept::nn {

std::vector<double> sequence_values(Pass& pass, const Weights& weights, const float* head, int hidden_size,
                                    const std::vector<const TrainExample*>& sequences) {
  const std::vector<float> states = pass.last_states(weights, sequences, false);
  std::vector<double> values;
  for (auto row = states.begin(); row != states.end(); row += hidden_size) {
    double sum = 0;
    for (int i = 0; i < hidden_size; ++i) sum += double(row[i]) * double(head[i]);
    values.push_back(sum);
  }
  return values;
}

void sequence_values_back(Pass& pass, const Weights& weights, const float* head, int hidden_size,
                          const std::vector<const TrainExample*>& sequences, const std::vector<double>& derivatives, float* gradient,
                          float* head_gradient) {
  std::vector<float> states = pass.last_states(weights, sequences, true);
  auto row = states.begin();
  for (const double d : derivatives) {
    for (int i = 0; i < hidden_size; ++i, ++row) {
      head_gradient[i] += float(d) * *row;
      *row = float(d) * head[i];  // the derivative by the state takes its place
    }
  }
  pass.backward_states(weights, states, gradient);
}

}  // namespace precept::nn
