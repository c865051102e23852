#pragma once
// A matrix of a checkpoint for the engine's products: packed in fp32 where it is small, otherwise read where it lies in
// the mapped file and widened a panel at a time. The bits of a product are the same either way.

#include <cstddef>
#include <variant>
#include <vector>

#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/lm/nn/kernels.h"

namespace precept::infer {

// Rows of one tensor where they lie: F32, F16 or BF16 of safetensors, or any type of GGUF. Bytes are not owned.
struct Part {
  int rows = 0;
  std::variant<TensorView, HfTensor> tensor;
};

// Rows (outputs) x cols (inputs).
struct Matrix {
  int rows = 0, cols = 0;
  std::vector<float> packed;      // nn::Kernels::pack_cols of it; empty: `parts` are read
  std::vector<Part> parts;        // one under the other

  // Row r, widened.
  void row(int r, float* out) const;
};

// Computes with one matrix after another; keeps its scratch.
class Products {
 public:
  explicit Products(const nn::Kernels& kernels) : kernels_(kernels) {}
  // c [m x w.rows] = a [m x w.cols] w^T, or += with `add`.
  void times(int m, const float* a, const Matrix& w, float* c, bool add);

 private:
  const nn::Kernels& kernels_;
  std::vector<float> widened_, panels_;
};

}  // namespace precept::infer
