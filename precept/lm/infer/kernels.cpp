#include "precept/lm/infer/kernels.h"

namespace precept::infer {

extern const Kernels kPortableInferKernels;
#if defined(__x86_64__)
extern const Kernels kAvx512InferKernels;
extern const Kernels kAvx2InferKernels;
#endif

const Kernels& kernels() {
#if defined(__x86_64__)
  static const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  static const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512) return kAvx512InferKernels;
  if (avx2) return kAvx2InferKernels;
#endif
  return kPortableInferKernels;
}

}  // namespace precept::infer
