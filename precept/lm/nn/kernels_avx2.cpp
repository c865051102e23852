// Built with AVX2 flags; run only where the processor has them (kernels.cpp asks).
#define PRECEPT_KERNELS kAvx2Kernels
#define PRECEPT_KERNELS_NAME "avx2"
#include "precept/lm/nn/kernels_body.h"
