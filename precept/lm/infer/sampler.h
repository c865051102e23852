#pragma once
// From a row of logits to a token, or to the log-probability of one.

#include <cstdint>
#include <optional>
#include <vector>

#include "precept/lm/nn/row_kernels.h"
#include "precept/model/model.h"

namespace precept::infer {

// log p of tokens at temperature 1; undefined (nullopt) when the logits hold NaN or +infinity.
struct LogSoftmax {
  float top = 0;
  double log_sum = 0;
  double of(float logit) const { return (static_cast<double>(logit) - static_cast<double>(top)) - log_sum; }
};
std::optional<LogSoftmax> log_softmax(const nn::RowKernels& kernels, int vocab, const float* logits);

// Scratch of one thread.
class Sampler {
 public:
  explicit Sampler(const nn::RowKernels& kernels) : kernels_(kernels) {}

  // One of the tokens 0..choices-1, a pure function of its arguments; `uniform` lies in [0, 1).
  // Top-p keeps the fewest most probable tokens whose probabilities reach top_p; the lower id goes
  // first among equals (Holtzman et al. 2020, arXiv 1904.09751). Temperatures below 1e-4, other than
  // 0, count as 1e-4. The largest logit is finite; one of -infinity is never taken.
  std::int32_t pick(const float* logits, int choices, const Sampling& sampling, double uniform);

 private:
  const nn::RowKernels& kernels_;
  std::vector<float> weights_;
  std::vector<std::int32_t> order_;
};

}  // namespace precept::infer
