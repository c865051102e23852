#pragma once
// Row kernels of the engine that the trainer has no use for: attention over a paged cache, rotary
// positions and softmax statistics. Chosen once for the processor at hand.
//
// A row's arithmetic, and the order of every sum in it, depends on that row's inputs alone: not on
// the rows beside it, nor on how its keys are spread over blocks.

#include <cstddef>
#include <cstdint>

namespace precept::infer {

inline constexpr int kBlockTokens = 16;  // keys of one cache block

// `count` consecutive keys at the start of a cache block.
struct Span {
  std::uint32_t block = 0;
  std::int32_t count = 0;
};

// Attention of `rows` consecutive positions of one sequence. Row r sees the first `seen + r` keys.
// A block's keys are [kv_heads][head_dim][kBlockTokens], its values [kv_heads][kBlockTokens][head_dim].
struct Attention {
  int heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 0;                        // of the scores
  const float* keys = nullptr;            // this layer's part of block 0
  std::size_t block_stride = 0;           // floats from one block to the next
  const Span* spans = nullptr;            // hold at least seen + rows - 1 keys
  const std::size_t* value_at = nullptr;  // by key: floats from `keys` to its value (head 0)
  int rows = 0, seen = 0;
  int window = 0;                         // a row sees the last `window` of those keys only; 0: all
  const float* q = nullptr;               // [rows][heads * head_dim], q_stride apart
  std::size_t q_stride = 0;
  float* out = nullptr;                   // the same shape
  std::size_t out_stride = 0;
  float* scratch = nullptr;               // attention_scratch(seen + rows) floats
};

constexpr std::size_t attention_scratch(std::size_t keys) { return 4 * (keys + 2 * kBlockTokens); }

struct Kernels {
  const char* name;
  void (*attend)(const Attention& a);
  // Rotates `heads` heads in place: pairs (i, i + head_dim/2), with cos and sin of head_dim/2 angles.
  void (*rotate)(int heads, int head_dim, const float* cosines, const float* sines, float* x);
  // The largest of n values (NaN if any value is NaN).
  float (*largest)(int n, const float* x);
  // y[i] = exp((x[i] - top) * scale); returns their sum. y may be null.
  float (*exponentials)(int n, const float* x, float top, float scale, float* y);
};

const Kernels& kernels();  // the fastest this processor runs

}  // namespace precept::infer
