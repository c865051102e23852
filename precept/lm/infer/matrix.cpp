#include "precept/lm/infer/matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace precept::infer {

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

namespace {

// Whether any of n numbers lies below 2^-126 (without being 0), which instructions for bf16 take for 0.
bool has_subnormal(const char* bf16, std::size_t n) {
  unsigned any = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t v;
    std::memcpy(&v, bf16 + 2 * i, 2);
    any |= unsigned{(v & 0x7F80U) == 0} & unsigned{(v & 0x7FU) != 0};
  }
  return any != 0;
}

}  // namespace

void Matrix::factors(int r, const nn::RowKernels& kernels, nn::Lane* out) const {
  const auto n = static_cast<std::size_t>(cols);
  int at = r;
  for (const Part& part : parts) {
    if (at >= part.rows) {
      at -= part.rows;
      continue;
    }
    const auto* view = std::get_if<TensorView>(&part.tensor);
    if (kernels.precision != nn::Precision::kBf16 || view == nullptr || view->dtype != Dtype::kBF16 || n % 2 != 0) break;
    // Such a row is made of lanes as it lies there, but for what rounding would change: the trainer rounds.
    const auto* bytes = view->bytes.data() + static_cast<std::size_t>(at) * n * 2;
    if (has_subnormal(bytes, n)) break;
    std::memcpy(out, bytes, n * 2);
    return;
  }
  std::vector<float> wide(n);
  row(r, wide.data());
  kernels.factors(cols, wide.data(), out);
}

void Matrix::pack(const nn::RowKernels& kernels, int begin, int end, nn::Lane* out, Lanes& scratch) const {
  const std::size_t lanes = nn::lanes_of(kernels.precision, static_cast<std::size_t>(cols));
  scratch.resize(std::max(scratch.size(), lanes * nn::kPanel));
  for (int p = begin; p < end; ++p, out += lanes * nn::kPanel) {
    const int first = p * nn::kPanel, count = std::min(nn::kPanel, rows - first);
    for (int r = 0; r < count; ++r) factors(first + r, kernels, scratch.data() + static_cast<std::size_t>(r) * lanes);
    kernels.pack(static_cast<int>(lanes), count, scratch.data(), lanes, out);
  }
}

void Matrix::quantise(const nn::RowKernels& kernels, std::int8_t* to, float* scale) const {
  const std::size_t lanes = nn::lanes_of(kernels.precision, static_cast<std::size_t>(cols));
  const std::size_t pair = kernels.precision == nn::Precision::kBf16 ? 2 : 1, panel = lanes * pair * nn::kPanel;
  std::vector<float> wide(lanes * pair);  // an odd last lane's second value stays 0
  for (int r = 0; r < panels() * nn::kPanel; ++r) {
    std::fill(wide.begin(), wide.end(), 0.0F);
    if (r < rows) row(r, wide.data());
    float largest = 0;
    for (const float v : wide) largest = std::max(largest, std::fabs(v));
    scale[r] = largest / 127;
    const float by = largest > 0 ? 127 / largest : 0;
    std::int8_t* out = to + static_cast<std::size_t>(r / nn::kPanel) * panel + static_cast<std::size_t>(r % nn::kPanel);
    for (std::size_t k = 0; k < wide.size(); ++k) out[k * nn::kPanel] = static_cast<std::int8_t>(std::lrintf(wide[k] * by));
  }
}

// A panel is widened once for all rows; what its sums are multiplied by is the same for all inputs, so that comes last.
void Products::times8(int m, const nn::Lane* a, std::size_t lda, const Matrix& w, int begin, int end, float* c, std::size_t ldc, bool add) {
  const std::size_t lanes = nn::lanes_of(kernels_.precision, static_cast<std::size_t>(w.cols)), panel = w.numbers.size() / static_cast<std::size_t>(w.panels());
  panel_.resize(std::max(panel_.size(), lanes * nn::kPanel));
  sums_.resize(std::max(sums_.size(), static_cast<std::size_t>(m) * nn::kPanel));
  for (int p = begin; p < end; ++p) {
    const std::int8_t* numbers = w.numbers.data() + static_cast<std::size_t>(p) * panel;
    const auto* after = p + 1 < w.panels() ? reinterpret_cast<const nn::Lane*>(numbers + panel) : nullptr;
    kernels_.widen8(static_cast<int>(lanes), numbers, panel_.data());
    kernels_.product(m, nn::kPanel, static_cast<int>(lanes), a, lda, panel_.data(), sums_.data(), nn::kPanel, false, after);
    kernels_.scaled(m, std::min(nn::kPanel, w.rows - p * nn::kPanel), sums_.data(), w.scales.data() + static_cast<std::size_t>(p) * nn::kPanel,
                    c + static_cast<std::ptrdiff_t>(p) * nn::kPanel, ldc, add);
  }
}

void Products::times(int m, const nn::Lane* a, std::size_t lda, const Matrix& w, int begin, int end, float* c, std::size_t ldc, bool add,
                     const nn::Lane* after) {
  const std::size_t lanes = nn::lanes_of(kernels_.precision, static_cast<std::size_t>(w.cols));
  const auto columns = [&](int from, int to) { return std::min(to * nn::kPanel, w.rows) - from * nn::kPanel; };
  if (begin >= end) return;
  if (!w.numbers.empty()) return times8(m, a, lda, w, begin, end, c, ldc, add);
  if (!w.packed.empty()) {
    kernels_.product(m, columns(begin, end), static_cast<int>(lanes), a, lda, w.panel(begin), c + begin * nn::kPanel, ldc, add, after);
    return;
  }
  panel_.resize(std::max(panel_.size(), lanes * nn::kPanel));
  for (int p = begin; p < end; ++p) {
    w.pack(kernels_, p, p + 1, panel_.data(), rows_);
    kernels_.product(m, columns(p, p + 1), static_cast<int>(lanes), a, lda, panel_.data(), c + p * nn::kPanel, ldc, add, nullptr);
  }
}

}  // namespace precept::infer
