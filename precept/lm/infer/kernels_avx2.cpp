// Run only where the processor has AVX2 and FMA (kernels.cpp asks).
#include <cstddef>
#include <cstdint>

#include "precept/lm/infer/kernels.h"

#if defined(__x86_64__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math,fp-contract=fast")
#pragma GCC target("avx2,fma")
#define PRECEPT_INFER_KERNELS kAvx2InferKernels
#define PRECEPT_INFER_NAME "avx2"
#include "precept/lm/infer/kernels_body.h"
#endif
