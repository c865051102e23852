#include "precept/lm/nn/kernels.h"

#include "precept/lm/nn/processor.h"

namespace precept::nn {

extern const Kernels kPortableKernels;
#ifdef PRECEPT_X86_KERNELS
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx2Kernels;
const Kernels& avx512_bf16_kernels(bool widened);
#endif

const Kernels& portable_kernels() { return kPortableKernels; }

const Kernels& kernels() {
#ifdef PRECEPT_X86_KERNELS
  if (processor().avx512) return kAvx512Kernels;
  if (processor().avx2) return kAvx2Kernels;
#endif
  return kPortableKernels;
}

const Kernels* bf16_kernels() {
#ifdef PRECEPT_X86_KERNELS
  if (processor().avx512_bf16) return &avx512_bf16_kernels(processor().slow_bf16_pairs());
#endif
  return nullptr;
}

const Kernels& kernels(bool bf16) {
  const Kernels* rounding = bf16 ? bf16_kernels() : nullptr;
  return rounding != nullptr ? *rounding : kernels();
}

}  // namespace precept::nn
