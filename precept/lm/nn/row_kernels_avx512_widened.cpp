// For processors that round to bf16 fast but multiply bf16 slowly (processor.h). Built with the flags of row_kernels_avx512_bf16.cpp.
#if defined(__x86_64__)
#define PRECEPT_ROW_KERNELS kAvx512WidenedRowKernels
#define PRECEPT_ROW_KERNELS_NAME "avx512-bf16-widened"
#include "precept/lm/nn/row_kernels_body.h"
#endif
