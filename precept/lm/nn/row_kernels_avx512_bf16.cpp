// Built with flags of its own (CMakeLists.txt); run only where the processor has what they ask for (row_kernels.cpp).
#if defined(__x86_64__)
#define PRECEPT_BF16_DOTS  // vdpbf16ps
#define PRECEPT_ROW_KERNELS kAvx512Bf16RowKernels
#define PRECEPT_ROW_KERNELS_NAME "avx512-bf16"
#include "precept/lm/nn/row_kernels_body.h"
#endif
