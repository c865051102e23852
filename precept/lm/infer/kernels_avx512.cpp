// Run only where the processor has AVX-512 (kernels.cpp asks).
#include <cstddef>
#include <cstdint>

#include "precept/lm/infer/kernels.h"

#if defined(__x86_64__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math,fp-contract=fast")
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define PRECEPT_INFER_KERNELS kAvx512InferKernels
#define PRECEPT_INFER_NAME "avx512"
#include "precept/lm/infer/kernels_body.h"
#endif
