#define PRECEPT_KERNELS kPortableKernels
#define PRECEPT_KERNELS_NAME "portable"
#include "precept/lm/nn/kernels_body.h"
