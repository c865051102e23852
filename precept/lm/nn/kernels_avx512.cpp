// Built with AVX-512 flags; run only where the processor has them (kernels.cpp asks).
#define PRECEPT_KERNELS kAvx512Kernels
#define PRECEPT_KERNELS_NAME "avx512"
#include "precept/lm/nn/kernels_body.h"
