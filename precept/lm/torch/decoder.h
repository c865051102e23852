#pragma once
// The decoder as libtorch operators: weights, keys and values on one device, and the forward pass of a laid-out step. Nothing
// here waits for the device.
//
// Legend: rows R of one step (with padding), hidden C, heads H, kv heads G, heads of a group M = H / G, head_dim D, queries
// Q = H D, W = (H + 2 G) D, feed-forward F, vocabulary V; of a batch of attention: pieces S, rows T, keys L.

#include <map>
#include <optional>
#include <vector>

#include <ATen/ATen.h>

#include "precept/lm/infer/weights.h"
#include "precept/lm/torch/step.h"
#include "precept/lm/torch/train_pass.h"

namespace precept::infer {

class Decoder {
 public:
  // Has `blocks` blocks of keys and values, and one more that is nobody's (StepPlanner's spare).
  Decoder(const Weights& weights, at::Device device, std::int64_t blocks);
  // On the tensors of a trainer, which are as they are at each step; all adapters are the one that it trains.
  Decoder(const on_device::TrainWeights& weights, at::Device device, std::int64_t blocks);

  // The windows of the layers, each once.
  const std::vector<int>& windows() const { return windows_; }

  // `ints`: the plan's, on the device. Fills the cache; gives the rows before the last norm, x_RC in fp32.
  at::Tensor forward(const StepPlan& plan, const at::Tensor& ints);
  // Logits after some rows of x_RC, in fp32.
  at::Tensor logits(const at::Tensor& x_RC, const at::Tensor& rows) const;

  void copy_block(std::int64_t from, std::int64_t to);
  // Zeros at these slots, in all layers.
  void clear(const at::Tensor& slots);

 private:
  struct Layer {
    at::Tensor input_norm, post_norm, qkv, out, gate_up, down;
    at::Tensor qkv_bias, out_bias, q_norm, k_norm;  // undefined where the architecture has none
    int kind;                                       // of its window
  };
  struct LowRank {
    int at;  // its first output among those of the product
    float scale;
    at::Tensor a, b;
  };
  using Adapted = std::vector<std::vector<LowRank>>;  // by 4 layer + product
  // A batch of attention on the device.
  struct Batch {
    const AttentionBatch* plan;
    at::Tensor row_of, table, mask;
  };

  std::vector<Batch> batches(const AttentionPlan& attention, int window, const at::Tensor& ints) const;
  at::Tensor normed(const at::Tensor& x, const at::Tensor& weight) const;  // in fp32
  at::Tensor rotated(const at::Tensor& heads, const at::Tensor& cosines, const at::Tensor& sines) const;
  at::Tensor attention(const at::Tensor& q_RQ, std::int64_t layer, const AttentionPlan& plan, const std::vector<Batch>& batches,
                       const at::Tensor& ints) const;
  void adapt(const StepPlan& plan, std::int64_t layer, nn::Product product, const at::Tensor& x, const at::Tensor& y);
  const Adapted& adapted(const Adapter& adapter);

  int kind(int window);  // its place in windows_
  void make_cache(std::int64_t blocks);  // and the tables of angles

  LlamaConfig config_;
  at::Device device_;
  at::ScalarType type_;  // of factors, keys and values
  at::Tensor embed_VC_, norm_, head_VC_, cosines_, sines_;
  std::vector<Layer> layers_;
  std::vector<int> windows_;
  at::Tensor cache_;  // [layers, 2, blocks + 1, kBlockTokens, G, D]
  std::map<const Adapter*, Adapted> adapters_;  // those that were asked for so far
  std::optional<Adapted> trained_;
};

}  // namespace precept::infer
