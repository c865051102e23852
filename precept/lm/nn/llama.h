#pragma once
// A Llama-architecture model for training: where its parameters lie, and loss and gradient by hand.
//
// RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467), rotary positions in Hugging Face's half-rotation
// form (Su et al. 2021, arXiv 2104.09864), grouped-query attention (Ainslie et al. 2023, arXiv
// 2305.13245), SwiGLU (Shazeer 2020, arXiv 2002.05202), residuals before each norm.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/lm/api.h"
#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/lora.h"
#include "precept/lm/nn/memory.h"

namespace precept::nn {

// One tensor of the checkpoint and its place in the flat parameter buffer. Matrices are rows x cols
// as on disk (features out x features in); cols == 0: a vector of `rows`.
struct Param {
  std::string name;  // Hugging Face's
  std::size_t offset = 0;
  int rows = 0, cols = 0;
  bool residual = false;  // writes into the residual stream: smaller initial values
  std::size_t size() const { return std::size_t(rows) * std::size_t(cols ? cols : 1); }
};

// q, k, v lie one after the other, so that one product computes all three; likewise their biases, and gate and up.
struct Layout {
  struct Layer {
    std::size_t input_norm, qkv, out, post_norm, gate_up, down;
    std::size_t qkv_bias, out_bias, q_norm, k_norm;  // where the config has them
  };
  explicit Layout(const LlamaConfig& config);

  LlamaConfig config;
  std::vector<Param> params;
  std::vector<Layer> layers;
  std::size_t embed = 0, norm = 0, head = 0;  // head == embed when tied
  std::size_t size = 0;
};

// Weights as the products want them: matrices packed once, set piece by piece. Of the flat values those alone are kept that no product
// reads: vectors, and embeddings that are not the head.
class Weights {
 public:
  // `kernels` pack them. `extra`: floats behind the layout.
  Weights(const Layout& layout, const Kernels& kernels, std::size_t extra = 0);
  struct Piece {
    std::size_t begin, end;  // of the flat values
    bool vector;             // no matrix
    int matrix, row, rows;   // which rows of which packed one; -1: none
  };
  const std::vector<Piece>& pieces() const { return pieces_; }  // all, in order
  // Threads may set different ones.
  void set(const Piece& piece, const float* values);

  // A token's embedding, to the bit as it was set.
  void embedding(int token, float* row) const;
  // Of what is kept, as in the layout.
  const float* at(std::size_t offset) const { return kept_.data() + place(offset); }
  // Panels of the matrix at `offset`, for A W^T.
  const float* panels(std::size_t offset) const { return packed_.data() + matrix(offset).slot; }
  // Gate and up are two matrices, each on panels of its own, as the engine reads them: where those of up begin.
  const float* panels_up(std::size_t gate_up) const { return panels(gate_up) + part_size(matrix(gate_up)); }
  // C = A W of the matrix at `offset`, where A has m rows. The panels for that are made of the others on the way, as many rows of W at a
  // time as gemm sums before it adds to C; `scratch` holds them.
  void times(std::size_t offset, int m, const float* a, float* c, Floats& scratch) const;

 private:
  struct Matrix {
    std::size_t offset, slot;
    int rows, cols;
    int parts;  // of the rows, one under the other, each on panels of its own
  };
  struct Kept {
    std::size_t offset, place;
  };
  std::size_t part_size(const Matrix& m) const;
  std::size_t panel(const Matrix& m, int row) const;  // where the one of this row begins
  void unpack(const Matrix& m, int row, float* values) const;
  void lay_out(const Layout& layout);
  void keep_if_rounded(const Piece& piece, const float* values);
  void add_pieces(std::size_t offset, int rows, int cols, int matrix);
  std::size_t place(std::size_t offset) const;
  const Matrix& matrix(std::size_t offset) const;
  const Kernels& kernels_;
  const std::size_t embed_;
  const int width_;  // of an embedding
  std::vector<Matrix> matrices_;  // sorted by offset
  std::vector<Piece> pieces_;
  std::vector<Kept> kept_at_;     // sorted by offset
  Floats kept_;
  Floats packed_;
  // Where embeddings are the head, rows are looked up in its panels. Frozen weights may not be bf16 where panels are: of pieces that
  // packing rounds the values are kept. One for each piece of the embeddings.
  std::vector<Floats> unrounded_;
};

struct LossSum {
  double loss = 0;    // sum of weight * -log p
  double weight = 0;  // sum of weights
};

// None of these changes a bit of a result but loss_rows, by the order in which the head's gradient is summed.
struct PassOptions {
  // Activation checkpointing (Chen et al. 2016, arXiv 1604.06174), layer by layer: forwards keeps each layer's input alone,
  // backwards computes the rest again. A third more work (a forward pass), a tenth of the memory.
  bool recompute = false;
  // Positions whose logits are held at once, and turned into their gradient in place.
  int loss_rows = 112;
  // For comparison: the loss that is not fused, which holds the logits of all positions of a call, and their gradient beside them.
  bool full_logits = false;
};

// What an objective makes of log-probabilities: weight[i] = -dL/dlogp[i].
using TokenWeights = std::function<void(std::span<const float> logp, std::span<float> weight)>;

// Runs sequences forwards and backwards with one thread. Keeps its buffers between calls. Sequences lie end to end in one row of
// positions without padding; positions count from each one's start, and attention stays within it.
class Pass {
 public:
  // With `lora` the weights are frozen: products add its low-rank parts, and a gradient is that of its A and B alone, as
  // its layout has them. All are borrowed.
  Pass(const Layout& layout, const Kernels& kernels, const LoraWeights* lora = nullptr, const PassOptions& options = {});
  ~Pass();
  Pass(Pass&&) noexcept;

  // Adds to `gradient` (flat, as the layout, or as the adapter's; may be null: loss only) the gradient of
  // scale * sum of weight * -log p over the sequences, and returns the sums, unscaled. Every token
  // must be < vocab_size. Sums over the sequences run in their order.
  LossSum run(const Weights& weights, const std::vector<const TrainExample*>& sequences, float scale,
              float* gradient);
  // The gradient of an objective of the log-probabilities where weights are not 0, which are computed first and handed to `derive`:
  // one pass where run() would take two. The same bits as run() with the weights that `derive` gives, at scale 1.
  void run_objective(const Weights& weights, const std::vector<const TrainExample*>& sequences, const TokenWeights& derive, float* gradient);
  // Of the last run: log-probabilities of the positions whose weight was not 0, in order.
  const std::vector<float>& picked_logprobs() const;
  // The final norm's output at each sequence's last input, which is its last token but one: rows of hidden_size. Sequences need two
  // tokens. With `backward` what backward_states needs is kept.
  std::vector<float> last_states(const Weights& weights, const std::vector<const TrainExample*>& sequences, bool backward);
  // The gradient of a loss of those states, given by its derivatives: adds to `gradient`. Right after last_states.
  void backward_states(const Weights& weights, const std::vector<float>& derivatives, float* gradient);
  // Log-probabilities log p(token i | tokens before it) of one sequence; [0] is 0.
  std::vector<float> logprobs(const Weights& weights, const TrainExample& sequence);

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace precept::nn
