#pragma once
// Loss, gradient and optimiser step of one batch on several threads, and processes. How many there are changes no bit of the result;
// how many lanes the batch is dealt to (TrainOptions::lanes) does.

#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include "precept/lm/nn/llama.h"
#include "precept/lm/train/adamw.h"
#include "precept/lm/train/batches.h"
#include "precept/lm/train/lane_sums.h"
#include "precept/lm/train/lanes.h"
#include "precept/lm/train/world.h"

namespace precept {

class BatchTrainer {
 public:
  // With `lora` the weights are frozen, and what is trained is an adapter of that layout. `head`: floats of a value head, which
  // lie behind what is trained. `world` (may be null) is borrowed; all its processes call the same functions with the same arguments.
  // `full_logits`: nn::PassOptions.
  BatchTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads, std::size_t head = 0,
               World* world = nullptr, bool full_logits = false);

  // The weights that an adapter is trained on, as they are.
  void freeze(const std::vector<float>& weights);
  // Goes on from these weights, rounded to bf16; from this adapter, not rounded.
  void take(const std::vector<float>& master);
  // Mean loss and gradient of the batch; the trainer holds the gradient.
  nn::LossSum loss_and_gradient(const Batch& batch);
  // The same of scale * sum of weight * -log p, whatever the weights are: an objective's derivatives, say.
  nn::LossSum gradient(const std::vector<const TrainExample*>& examples, float scale);
  // The gradient of an objective of the log-probabilities of the tokens whose weight is not 0, in one pass. derive(i, logp) gives the
  // objective's derivatives by those of example i, whatever the other examples' are; it is called from several threads. Returns all
  // log-probabilities, as logprobs() does.
  using Derive = std::function<std::vector<float>(std::size_t, std::span<const float>)>;
  std::vector<std::vector<float>> objective_gradient(const std::vector<TrainExample>& examples, const Derive& derive);
  // Forwards and backwards once over as many tokens as will ever run together, the longest sequence among them, on every thread:
  // where memory does not suffice, that shows now. Changes nothing.
  void rehearse(std::size_t longest);
  // Forwards alone; see forward.h.
  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& examples);
  // Of the value head: the sequences' values; and the gradient of a loss whose derivatives by them are given.
  std::vector<double> values(const std::vector<TrainExample>& examples);
  void value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives);
  double gradient_norm() const { return std::sqrt(std::accumulate(norms_.begin(), norms_.end(), 0.0)); }
  // One step along the gradient times `scale`.
  void update(AdamW& optimizer, double lr, double scale);
  // All weights, or those under an adapter, and the adapter if there is one.
  const nn::Weights& base() const { return weights_; }
  const nn::LoraWeights* adapter() const { return lora_.get(); }
  // Another number after every change of either.
  std::uint64_t version() const { return version_; }
  const nn::Kernels& kernels() const { return kernels_; }
  int threads() const { return threads_; }
  // Gradients that this process holds, of all that is trained each.
  int gradients() const { return sums_.buffers(); }
  World* world() const { return world_; }
  // What is trained, as the passes see these masters: an adapter as it is, weights rounded to bf16.
  std::vector<float> seen(std::vector<float> master) const;

 private:
  // A slice of one tensor, for the norm.
  struct Slice {
    std::size_t begin, end;
  };

  // Runs work(lane, pass, gradient) for this process's lanes; then their sum over all processes is the gradient.
  using LaneWork = std::function<void(std::size_t, nn::Pass&, float*)>;
  void run_lanes(const LaneWork& work);
  const float* head() const { return lora_ ? lora_->flat.data() + head_ : weights_.at(head_); }
  void measure_norms();
  void add_slices(std::size_t offset, std::size_t size);
  // Calls make(piece, its values) for every piece of the weights, and packs what it made.
  using Make = std::function<void(const nn::Weights::Piece&, float*)>;
  void set_weights(const Make& make);

  const nn::Layout& layout_;
  const nn::Kernels& kernels_;
  int threads_;
  std::size_t head_;       // where the value head begins; what comes before are weights or an adapter
  nn::Weights weights_;
  std::unique_ptr<nn::LoraWeights> lora_;  // where an adapter is trained
  World* world_;
  int lanes_;
  std::pair<int, int> mine_;        // of the lanes
  std::vector<nn::Pass> passes_;    // one for each thread that has a lane
  LaneSums sums_;
  std::vector<Slice> slices_;
  std::vector<double> norms_;  // of slices, squared
  std::uint64_t version_ = 0;
};

}  // namespace precept
