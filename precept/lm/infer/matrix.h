#pragma once
// A matrix of a checkpoint for the engine's products: packed, or read where it lies in the mapped file and packed a panel
// at a time. The bits of a product are the same either way.

#include <cstddef>
#include <span>
#include <variant>
#include <vector>

#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/lm/nn/memory.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::infer {

using Lanes = std::vector<nn::Lane, nn::Aligned<nn::Lane>>;

// Rows of one tensor where they lie: F32, F16 or BF16 of safetensors, or any type of GGUF. Bytes are not owned.
struct Part {
  int rows = 0;
  std::variant<TensorView, HfTensor> tensor;
};

// Rows (outputs) x cols (inputs).
struct Matrix {
  int rows = 0, cols = 0;
  std::span<const nn::Lane> packed;  // RowKernels::pack of it; empty: `parts` are read. Not owned
  std::vector<Part> parts;           // one under the other
  // With 8-bit weights: panels as RowKernels::widen8 takes them, and for each row what its numbers are multiplied by. Not owned.
  std::span<const std::int8_t> numbers;
  std::span<const float> scales;

  int panels() const { return (rows + nn::kPanel - 1) / nn::kPanel; }
  // Where panel p is packed; null if there is none.
  const nn::Lane* panel(int p) const {
    if (packed.empty() || p >= panels()) return nullptr;
    return packed.data() + packed.size() / static_cast<std::size_t>(panels()) * static_cast<std::size_t>(p);
  }
  // Row r, widened.
  void row(int r, float* out) const;
  // Row r as factors.
  void factors(int r, const nn::RowKernels& kernels, nn::Lane* out) const;
  // Packs panels [begin, end) into `out`. `scratch` is the caller's.
  void pack(const nn::RowKernels& kernels, int begin, int end, nn::Lane* out, Lanes& scratch) const;
  // Rounds all rows to [-127, 127] times a scale, the row's largest magnitude / 127; nearest, ties to even. `numbers` has room for a
  // packed matrix of as many lanes, `scales` for as many rows as the panels have.
  void quantise(const nn::RowKernels& kernels, std::int8_t* numbers, float* scales) const;
};

// Products with matrices; the scratch of one thread.
class Products {
 public:
  explicit Products(const nn::RowKernels& kernels) : kernels_(kernels) {}
  // Columns of panels [begin, end) of c [m x w.rows, ldc] = a w^T, or += with `add`; a's rows are lda lanes apart. `c` is
  // where column 0 would be. `after`: packed memory that is read next, or null.
  void times(int m, const nn::Lane* a, std::size_t lda, const Matrix& w, int begin, int end, float* c, std::size_t ldc, bool add,
             const nn::Lane* after);

 private:
  void times8(int m, const nn::Lane* a, std::size_t lda, const Matrix& w, int begin, int end, float* c, std::size_t ldc, bool add);

  const nn::RowKernels& kernels_;
  Lanes rows_, panel_;
  std::vector<float> sums_;
};

}  // namespace precept::infer
