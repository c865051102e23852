#include "precept/lm/infer/matrix.h"

#include <algorithm>

namespace precept::infer {
namespace {

// Panels widened together: enough columns for the product's tiles, few enough to stay in the cache.
constexpr int kWidenedRows = 2 * nn::kPanel;

}  // namespace

void Matrix::row(int r, float* out) const {
  for (const TensorView& part : parts) {
    const int count = static_cast<int>(part.shape[0]);
    if (r < count) {
      const std::size_t bytes = static_cast<std::size_t>(cols) * dtype_size(part.dtype);
      return widen(part.dtype, part.bytes.data() + static_cast<std::size_t>(r) * bytes, static_cast<std::size_t>(cols), out);
    }
    r -= count;
  }
}

void Products::times(int m, const float* a, const Matrix& w, float* c, bool add) {
  const auto k = static_cast<std::size_t>(w.cols), n = static_cast<std::size_t>(w.rows);
  if (!w.packed.empty()) {
    kernels_.gemm(m, w.rows, w.cols, a, k, 1, w.packed.data(), c, n, add);
    return;
  }
  widened_.resize(std::max(widened_.size(), k * kWidenedRows));
  panels_.resize(std::max(panels_.size(), k * kWidenedRows));
  for (int from = 0; from < w.rows; from += kWidenedRows) {
    const int rows = std::min(kWidenedRows, w.rows - from);
    for (int r = 0; r < rows; ++r) w.row(from + r, widened_.data() + static_cast<std::size_t>(r) * k);
    kernels_.pack_cols(w.cols, rows, widened_.data(), k, panels_.data());
    kernels_.gemm(m, rows, w.cols, a, k, 1, panels_.data(), c + from, n, add);
  }
}

}  // namespace precept::infer
