#pragma once
// What the processor at hand has, for those who choose kernels; asked once. Nothing on other architectures than x86-64.

namespace precept::nn {

struct Processor {
  bool avx2 = false;         // with FMA
  bool avx512 = false;       // F, DQ, BW and VL
  bool avx512_bf16 = false;  // with all of that
  bool intel = false;        // its maker, where two makers' cores want different things: what is known comes from one core of each
  // Whether fp32 products of widened factors are faster than its own of bf16 pairs (vdpbf16ps); the bits differ, so nobody measures it
  // when a run begins. An Intel core (Emerald Rapids) begins one of those every second cycle and two fp32 products of vectors every
  // cycle: twice the work in the same time. An AMD core (Zen 4) begins one of either every cycle.
  bool slow_bf16_pairs() const { return intel; }
};

const Processor& processor();

}  // namespace precept::nn
