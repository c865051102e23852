#pragma once
// Forwards and backwards through a Llama-architecture model on a device of libtorch, layer by layer: each layer is a graph of its own,
// so that backwards frees it as soon as it is through, or computes it again (activation checkpointing). Nothing here waits for the
// device.
//
// The arithmetic is that of nn::Pass: factors of products in bf16 or fp32, the residual stream, norms, rotation and the loss in fp32.
//
// Legend: T tokens of all sequences, packed; P positions whose loss counts; C hidden; V vocabulary; S sequences.

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include <ATen/ATen.h>

#include "precept/lm/nn/llama.h"
#include "precept/lm/torch/train_ops.h"

namespace precept::on_device {

// What passes see of the weights, and engines (decoder.h). `factors` and `adapter` are written by whoever owns them, who then calls
// refresh().
struct TrainWeights {
  TrainWeights(const nn::Layout& layout, const nn::LoraLayout* lora, std::size_t head, at::ScalarType type, at::Device device);
  // Those under an adapter, alone; the tensors are theirs.
  static TrainWeights base_of(const TrainWeights& adapted);
  void refresh();

  at::Tensor matrix(std::size_t offset, std::int64_t rows, std::int64_t cols) const { return factors.narrow(0, std::int64_t(offset), rows * cols).view({rows, cols}); }
  const at::Tensor& vector(std::size_t offset) const { return vectors.at(offset); }
  at::Tensor head_rows() const { return matrix(layout.head, layout.config.vocab_size, layout.config.hidden_size); }
  at::Tensor value_head() const;  // [C] in fp32

  const nn::Layout& layout;
  const nn::LoraLayout* lora;  // null: there is none, the weights are trained
  std::size_t head;            // floats of a value head, which lies behind what is trained
  at::ScalarType type;         // of factors
  at::Tensor factors;          // flat, as the layout, and a value head where the weights are trained
  at::Tensor adapter;          // flat, as its layout, and a value head; fp32
  at::Tensor adapter_factors;  // the same in `type`
  std::map<std::size_t, at::Tensor> vectors;  // by offset: those of the factors in fp32. All keep their places in memory
};

// Sequences as a pass reads them.
struct TrainRows {
  std::int64_t tokens = 0, counted = 0;  // T and P
  at::Tensor token_T, position_T;
  at::Tensor row_P, target_P, weight_P;
  at::Tensor last_S;  // rows of the last inputs of the sequences
  GroupedAttention attention;
};

class TrainPass {
 public:
  // `recompute`: activation checkpointing.
  TrainPass(const TrainWeights& weights, bool recompute);

  // Inputs are tokens 0 .. n-2 of each sequence: the last one predicts nothing. Sequences of one token are left out.
  TrainRows lay_out(const std::vector<const TrainExample*>& sequences);

  // The final norm's output, fp32 [T, C]. With `keep` what backward needs is kept.
  at::Tensor forward(const TrainRows& rows, bool keep);
  // Log-probabilities of the targets of P rows of states_TC, fp32.
  at::Tensor logprobs(const TrainRows& rows, const at::Tensor& states_TC) const { return head(rows, states_TC, 0, nullptr, nullptr); }
  // The same, after a forward that kept; and adds to `gradient` (flat fp32, as what is trained) that of scale * sum of weight * -log p.
  at::Tensor learn(const TrainRows& rows, const at::Tensor& states_TC, double scale, at::Tensor& gradient);
  // Adds to `gradient` what follows from the derivatives by forward()'s result, which it forgets.
  void backward(const TrainRows& rows, const at::Tensor& dstates_TC, at::Tensor& gradient);

 private:
  struct LowRank {
    std::int64_t at;  // its first output among those of the product
    double scale;
    at::Tensor a, b;
  };
  // A layer's weights for one use: tensors that a graph begins at, and where their gradients belong.
  struct Leaves {
    at::Tensor input_norm, post_norm, qkv, out, gate_up, down, qkv_bias, out_bias, q_norm, k_norm;
    std::vector<LowRank> low_rank[4];
    std::vector<at::Tensor> trained;
    std::vector<std::size_t> offsets;  // in the gradient, of each that is trained
  };
  struct Kept {
    at::Tensor in, out;
    Leaves leaves;
  };
  Leaves leaves(std::size_t l, bool trained) const;
  at::Tensor layer(std::size_t l, const at::Tensor& x_TC, const Leaves& w, const TrainRows& rows) const;
  at::Tensor product(const Leaves& w, nn::Product which, const at::Tensor& rows, const at::Tensor& matrix) const;
  // Log-probabilities; with `gradient` also the loss's derivatives, by the head's matrix into `gradient`, by states_TC into *dstates.
  at::Tensor head(const TrainRows& rows, const at::Tensor& states_TC, double scale, at::Tensor* gradient, at::Tensor* dstates) const;
  void angles_up_to(std::int64_t n);

  const TrainWeights& w_;
  const LlamaConfig& config_;
  const bool recompute_;
  const std::int64_t most_logits_;  // elements that are there at once
  std::int64_t most_scores_ = 0;    // of attention, where they are written down; 0: they are not
  at::Tensor cosines_, sines_;      // [positions, D / 2]
  std::vector<Kept> kept_;
  at::Tensor last_;                 // the final norm's input
};

}  // namespace precept::on_device
