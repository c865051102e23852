#pragma once
// Weights beside the flat values that they are made of, which tests change and references read.

#include <optional>

#include "precept/lm/nn/llama.h"
#include "precept/lm/nn/memory.h"

namespace precept {

struct FlatWeights {
  explicit FlatWeights(const nn::Layout& of) : layout(of), flat(of.size) {}
  void pack(const nn::Kernels& kernels) {
    packed.emplace(layout, kernels);
    for (const nn::Weights::Piece& piece : packed->pieces()) packed->set(piece, flat.data() + piece.begin);
  }
  operator const nn::Weights&() const { return *packed; }  // NOLINT: a pass takes it as what it holds

  nn::Layout layout;
  nn::Floats flat;
  std::optional<nn::Weights> packed;
};

}  // namespace precept
