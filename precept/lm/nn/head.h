#pragma once
// Backward attention of one head of one sequence. Inside nn/ only.

#include <cstddef>

#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/memory.h"

namespace precept::nn {

// Queries of a block of the backward pass. Fewer add to the gradients of keys and values more often, more compute more above the
// diagonal; from 56 to 168 speed is about the same.
inline constexpr int kBlockRows = 112;

// Of Head::backward, for the longest sequence so far: of scores two blocks.
struct HeadScratch {
  Floats p_BS, ds_BS;           // probabilities of a block of rows and the gradient of their scores
  Floats keys, values, factor;  // packed
};

struct Head {
  const Kernels& k;
  int length, dim;
  int window;                // a position sees the last `window` of those up to itself; 0: all
  std::size_t row, out_row;  // floats between rows of q, key, value and their gradients, and of dout
  HeadScratch& scratch;

  // dq, dkey, dvalue += gradients. By blocks of queries, as FlashAttention-2 (Dao 2023, arXiv 2307.08691, algorithm 2), except that
  // probabilities are computed again by whole rows, not from kept sums. Depends on nothing but the sequence.
  void backward(const float* q, const float* key, const float* value, const float* dout, float* dq, float* dkey, float* dvalue) const;
};

}  // namespace precept::nn
