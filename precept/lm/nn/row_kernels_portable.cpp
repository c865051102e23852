// Built with flags of its own (CMakeLists.txt); run only where the processor has what they ask for (row_kernels.cpp).
#define PRECEPT_ROW_KERNELS kPortableRowKernels
#define PRECEPT_ROW_KERNELS_NAME "portable"
#include "precept/lm/nn/row_kernels_body.h"
