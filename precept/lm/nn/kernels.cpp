#include "precept/lm/nn/kernels.h"

namespace precept::nn {

extern const Kernels kPortableKernels;
#ifdef PRECEPT_X86_KERNELS
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
const Kernels& avx512_bf16_kernels(bool widened);
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
  if (bf16) return &avx512_bf16_kernels(bf16_dots_are_slow());
#endif
  return nullptr;
}

// An Intel core (Emerald Rapids) begins one vdpbf16ps every second cycle and two fp32 products of vectors every cycle: half of the
// products in the same time. An AMD core (Zen 4) begins one of either every cycle.
bool bf16_dots_are_slow() {
#ifdef PRECEPT_X86_KERNELS
  __builtin_cpu_init();
  return __builtin_cpu_is("intel") != 0;
#else
  return false;
#endif
}

}  // namespace precept::nn
