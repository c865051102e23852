#include "precept/lm/train/adamw.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace precept {

void adamw_update(AdamW& state, std::int64_t step, double lr, double decay, float scale,
                  const float* gradient, float* __restrict rounded, std::size_t begin, std::size_t end) {
  const auto b1 = static_cast<float>(state.beta1);
  const auto b2 = static_cast<float>(state.beta2);
  const auto keep = static_cast<float>(1.0 - lr * decay);
  // lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
  const auto rate = static_cast<float>(lr / (1.0 - std::pow(state.beta1, double(step))));
  const auto correct = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(state.beta2, double(step))));
  const auto eps = static_cast<float>(state.eps);
  float* __restrict master = state.master.data();
  float* __restrict mean = state.mean.data();
  float* __restrict square = state.square.data();
  for (std::size_t i = begin; i < end; ++i) {
    const float g = gradient[i] * scale;
    mean[i] = b1 * mean[i] + (1.0F - b1) * g;
    square[i] = b2 * square[i] + (1.0F - b2) * g * g;
    master[i] = master[i] * keep - rate * mean[i] / (std::sqrt(square[i]) * correct + eps);
    rounded[i - begin] = round_to_bf16(master[i]);
  }
}

double lr_share(double progress, double warmup, double floor) {
  progress = std::clamp(progress, 0.0, 1.0);
  if (progress < warmup) return progress / warmup;
  if (warmup >= 1.0) return 1.0;
  const double along = (progress - warmup) / (1.0 - warmup);
  return floor + (1.0 - floor) * 0.5 * (1.0 + std::cos(std::numbers::pi * along));
}

}  // namespace precept
