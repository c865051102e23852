// Plain C++ for every processor.
#include <cstddef>
#include <cstdint>

#include "precept/lm/infer/kernels.h"

#pragma GCC optimize("O3,no-math-errno,no-trapping-math,fp-contract=fast")
#define PRECEPT_INFER_KERNELS kPortableInferKernels
#define PRECEPT_INFER_NAME "portable"
#include "precept/lm/infer/kernels_body.h"
