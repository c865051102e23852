#include "precept/lm/nn/processor.h"

namespace precept::nn {

const Processor& processor() {
  static const Processor kProcessor = [] {
    Processor p;
#if defined(__x86_64__)
    __builtin_cpu_init();  // constructors may ask
    p.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    p.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl");
    p.avx512_bf16 = p.avx512 && __builtin_cpu_supports("avx512bf16");
    p.intel = __builtin_cpu_is("intel");
#endif
    return p;
  }();
  return kProcessor;
}

}  // namespace precept::nn
