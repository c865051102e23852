#include "precept/lm/nn/row_kernels.h"

#include <algorithm>
#include <bit>

#include "precept/lm/nn/processor.h"

namespace precept::nn {

extern const RowKernels kPortableRowKernels[2];
#ifdef PRECEPT_X86_KERNELS
extern const RowKernels kAvx2RowKernels[2];
extern const RowKernels kAvx512RowKernels[2];
extern const RowKernels kAvx512Bf16RowKernels[2];
extern const RowKernels kAvx512WidenedRowKernels[2];
#endif

const bool kPanelsIntoSecond = processor().intel;

KvShape::KvShape(Precision precision, int layers, int kv_heads, int head_dim, int together)
    : key_block(lanes_of(precision, static_cast<std::size_t>(head_dim)) * kBlockTokens),
      value_block(lanes_of(precision, kBlockTokens) * ((static_cast<std::size_t>(head_dim) + 15) / 16 * 16)),
      shift_(static_cast<unsigned>(std::countr_zero(static_cast<unsigned>(together)))),
      layers_(static_cast<std::size_t>(layers)),
      kv_heads_(static_cast<std::size_t>(kv_heads)),
      key_head_(static_cast<std::size_t>(together) * key_block),
      value_head_(static_cast<std::size_t>(together) * value_block),
      values_(kv_heads_ * key_head_),
      layer_(values_ + kv_heads_ * value_head_),
      chunk_(layers_ * layer_) {}

void KvShape::copy_block(Lane* cache, std::uint32_t from, std::uint32_t to) const {
  for (std::size_t layer = 0; layer < layers_; ++layer) {
    for (std::size_t head = 0; head < kv_heads_; ++head) {
      std::copy_n(cache + keys(from, layer, head), key_block, cache + keys(to, layer, head));
      std::copy_n(cache + values(from, layer, head), value_block, cache + values(to, layer, head));
    }
  }
}

const RowKernels& row_kernels(Precision precision) {
  static const RowKernels* const tables = [] {
#ifdef PRECEPT_X86_KERNELS
    const Processor& p = processor();
    if (p.avx512_bf16) return p.slow_bf16_pairs() ? kAvx512WidenedRowKernels : kAvx512Bf16RowKernels;
    if (p.avx512) return kAvx512RowKernels;
    if (p.avx2) return kAvx2RowKernels;
#endif
    return kPortableRowKernels;
  }();
  return tables[precision == Precision::kBf16 ? 1 : 0];
}

}  // namespace precept::nn
