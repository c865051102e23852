#pragma once
// The forward pass of one thread over rows of several sequences.
//
// Legend: rows R of one chunk, hidden C, heads H, kv heads G, head_dim D, feed-forward F, vocabulary V.

#include <cstdint>
#include <functional>
#include <vector>

#include "precept/lm/infer/adapter.h"
#include "precept/lm/infer/cache.h"
#include "precept/lm/infer/kernels.h"
#include "precept/lm/infer/weights.h"
#include "precept/lm/nn/kernels.h"

namespace precept::infer {

// Consecutive positions of one sequence, to be computed now.
struct Segment {
  const std::int32_t* tokens = nullptr;
  int first = 0;  // position of tokens[0]; all before it lie in the cache
  int rows = 0;
  const Span* spans = nullptr;  // places for positions 0 .. first + rows - 1
  std::vector<int> wanted;      // rows whose logits are wanted, ascending
  const Adapter* adapter = nullptr;  // null: the base alone
};

struct Processor {
  const nn::Kernels* products;
  const Kernels* rows;
};

// Scratch of one thread. A row's results depend on its own sequence only, to the bit.
class Forward {
 public:
  // All are borrowed. Positions must be below those of `rotary`.
  Forward(const Weights& weights, const Rotary& rotary, const Processor& processor, Cache& cache);

  // Called with a segment's index, the row within it, and V logits, which it may overwrite.
  using OnLogits = std::function<void(int segment, int row, float* logits)>;
  // Fills the cache for all segments (which must be of different sequences) and hands out logits.
  void run(const std::vector<Segment>& segments, const OnLogits& on_logits);

 private:
  struct Piece {  // the part of a segment that lies in this chunk
    int segment, from, rows;
  };
  void chunk(const std::vector<Segment>& segments, const std::vector<Piece>& pieces, int rows,
             const OnLogits& on_logits);
  void add_bias(int rows, const std::vector<float>& bias, std::vector<float>& values) const;
  void norm_heads(int rows, const Weights::Layer& w);
  void embed(const std::vector<Segment>& segments, const std::vector<Piece>& pieces);
  void place_keys(const std::vector<Segment>& segments, const std::vector<Piece>& pieces);
  void find_adapters(const std::vector<Segment>& segments, const std::vector<Piece>& pieces);
  void attention(const std::vector<Segment>& segments, const std::vector<Piece>& pieces, std::size_t layer);
  void logits(const std::vector<Segment>& segments, const std::vector<Piece>& pieces,
              const OnLogits& on_logits);

  const Weights& weights_;
  const Rotary& rotary_;
  const nn::Kernels& kernels_;
  Products products_;
  AdapterProducts adapters_;
  const Kernels& row_kernels_;
  Cache& cache_;
  BlockShape shape_;
  int queries_, keys_, wide_;  // H * D, G * D, (H + 2 G) * D
  std::vector<float> x_RC_, h_RC_, qkv_RW_, attended_RQ_, gate_up_R2F_, s_RF_, logits_RV_, rstd_R_, head_rstd_, scores_;
  std::vector<std::vector<std::size_t>> value_at_;  // by piece, by key
  std::vector<std::size_t> key_at_R_;
  std::vector<AdapterRows> adapter_rows_;  // of this chunk
};

}  // namespace precept::infer
