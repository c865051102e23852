#include "precept/lm/nn/kernels.h"

namespace precept::nn {

extern const Kernels kPortableKernels;
#ifdef PRECEPT_X86_KERNELS
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
const Kernels& avx512_bf16_kernels();
#endif

const Kernels& portable_kernels() { return kPortableKernels; }

#ifdef PRECEPT_X86_KERNELS
namespace {

bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

}  // namespace
#endif

const Kernels& kernels() {
#ifdef PRECEPT_X86_KERNELS
  static const bool avx512 = has_avx512();
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512) return kAvx512Kernels;
  if (avx2) return kAvx2Kernels;
#endif
  return kPortableKernels;
}

const Kernels* bf16_kernels() {
#ifdef PRECEPT_X86_KERNELS
  static const bool bf16 = has_avx512() && __builtin_cpu_supports("avx512bf16");
  if (bf16) return &avx512_bf16_kernels();
#endif
  return nullptr;
}

}  // namespace precept::nn
