#include "precept/lm/infer/matrix.h"

#include <algorithm>

namespace precept::infer {
namespace {

// Panels widened together: enough columns for the product's tiles, few enough to stay in the cache.
constexpr int kWidenedRows = 2 * nn::kPanel;

}  // namespace

void Matrix::row(int r, float* out) const {
  const auto n = static_cast<std::size_t>(cols);
  for (const Part& part : parts) {
    if (r >= part.rows) {
      r -= part.rows;
      continue;
    }
    if (const auto* gguf = std::get_if<HfTensor>(&part.tensor)) return gguf->read(r, {out, n});
    const auto& view = std::get<TensorView>(part.tensor);
    return widen(view.dtype, view.bytes.data() + static_cast<std::size_t>(r) * n * dtype_size(view.dtype), n, out);
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
