#include "precept/lm/nn/row_kernels.h"

namespace precept::nn {

extern const RowKernels kPortableRowKernels[2];
#ifdef PRECEPT_X86_KERNELS
extern const RowKernels kAvx2RowKernels[2];
extern const RowKernels kAvx512RowKernels[2];
extern const RowKernels kAvx512Bf16RowKernels[2];
#endif

const RowKernels& row_kernels(Precision precision) {
  static const RowKernels* const tables = [] {
#ifdef PRECEPT_X86_KERNELS
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512vl");
    if (avx512 && __builtin_cpu_supports("avx512bf16")) return kAvx512Bf16RowKernels;
    if (avx512) return kAvx512RowKernels;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kAvx2RowKernels;
#endif
    return kPortableRowKernels;
  }();
  return tables[precision == Precision::kBf16 ? 1 : 0];
}

}  // namespace precept::nn
