#pragma once
// AdamW: Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2, with decay scaled by the learning
// rate (as torch.optim.AdamW) and left out for vectors.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "precept/lm/nn/llama.h"

namespace precept {

struct AdamW {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  std::int64_t step = 0;                  // steps taken
  std::vector<float> master, mean, square;  // flat, as the layout
};

// One step on elements [begin, end), which lie in one tensor; `scale` multiplies the gradient
// (clipping). `step` counts from 1. Writes the masters rounded to bf16 into `rounded` (end - begin values).
void adamw_update(AdamW& state, std::int64_t step, double lr, double decay, float scale,
                  const float* gradient, float* rounded, std::size_t begin, std::size_t end);

// Nearest bf16 value, ties to even.
inline float round_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U;
  return std::bit_cast<float>((bits & 0x7FFFFFFFU) > 0x7F800000U ? bits : rounded);
}

// Share of `lr` at `progress` in [0, 1]: linear warm-up over `warmup`, then half a cosine from 1 to `floor`.
double lr_share(double progress, double warmup, double floor);

}  // namespace precept
