#pragma once
// Attention of one whole sequence with the engine's kernels, over keys and values laid out as the engine's cache has them:
// a row's bits are those of the engine.

#include <vector>

#include "precept/lm/nn/memory.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::nn {

// Keeps its buffers between calls. One thread.
class SequenceAttention {
 public:
  SequenceAttention(const RowKernels& kernels, int heads, int kv_heads, int head_dim);
  // Rows of qkv hold rotated queries, rotated keys and values, `row` floats apart; `out` gets heads * head_dim floats a row,
  // `out_row` apart. A position sees the last `window` (0: all) of the positions up to itself.
  void run(int length, int window, const float* qkv, std::size_t row, float* out, std::size_t out_row);

 private:
  using Lanes = std::vector<Lane, Aligned<Lane>>;
  const RowKernels& kernels_;
  int heads_, kv_heads_, dim_;
  KvShape shape_;
  Lanes cache_, q_, scratch_;
  std::vector<float> parts_;
  std::vector<std::uint32_t> blocks_;  // 0, 1, 2, ...
};

}  // namespace precept::nn
