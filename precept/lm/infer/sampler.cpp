#include "precept/lm/infer/sampler.h"

#include <algorithm>
#include <cmath>

namespace precept::infer {

std::optional<LogSoftmax> log_softmax(const nn::RowKernels& kernels, int vocab, const float* logits) {
  const float top = kernels.largest(vocab, logits);
  if (!std::isfinite(top)) return std::nullopt;
  return LogSoftmax{top, std::log(static_cast<double>(kernels.exponentials(vocab, logits, top, 1.0F, nullptr)))};
}

std::int32_t Sampler::pick(const float* logits, int choices, const Sampling& sampling, double uniform) {
  const float top = kernels_.largest(choices, logits);
  if (sampling.temperature == 0) {
    return static_cast<std::int32_t>(std::find(logits, logits + choices - 1, top) - logits);
  }
  const auto scale = static_cast<float>(1.0 / std::max(sampling.temperature, 1e-4));
  weights_.resize(static_cast<std::size_t>(choices));
  const double total = kernels_.exponentials(choices, logits, top, scale, weights_.data());
  if (sampling.top_p >= 1.0) {
    // Where a weight is nothing exp gives 1e-38, and so it does for an infinite distance: a draw of 0 must not end there. `total` is 1 at least.
    const double aim = std::max(uniform * total, 1e-30);
    double reached = 0;
    std::int32_t last = 0;
    for (std::int32_t id = 0; id < choices; ++id) {
      reached += static_cast<double>(weights_[id]);
      if (reached > aim) return id;
      if (weights_[id] > weights_[last]) last = id;
    }
    return last;  // rounding left `aim` just above the sum: the most probable token
  }
  // A heap gives the most probable tokens in order, and only as many as are needed.
  const auto later = [this](std::int32_t a, std::int32_t b) {
    return weights_[a] != weights_[b] ? weights_[a] < weights_[b] : a > b;
  };
  order_.resize(static_cast<std::size_t>(choices));
  for (std::int32_t id = 0; id < choices; ++id) order_[id] = id;
  std::make_heap(order_.begin(), order_.end(), later);
  double kept = 0;
  auto end = order_.end();
  while (end != order_.begin()) {
    std::pop_heap(order_.begin(), end, later);
    --end;  // *end was the most probable of the rest
    kept += static_cast<double>(weights_[*end]);
    if (kept >= sampling.top_p * total) break;
  }
  const double aim = uniform * kept;
  double reached = 0;
  for (auto next = order_.end(); next != end;) {
    --next;
    reached += static_cast<double>(weights_[*next]);
    if (reached > aim) return *next;
  }
  return order_.back();
}

}  // namespace precept::infer
