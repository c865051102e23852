#pragma once
// Trains on this processor, on several threads, and processes. How many there are changes no bit of the result; how many lanes a batch
// is dealt to (TrainOptions::lanes) does.

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "precept/lm/train/batch_trainer.h"
#include "precept/lm/train/lane_sums.h"
#include "precept/lm/train/lanes.h"

namespace precept {

class CpuTrainer : public BatchTrainer {
 public:
  // With `lora` the weights are frozen, and what is trained is an adapter of that layout. `head`: floats of a value head, which
  // lie behind what is trained. `full_logits`: nn::PassOptions.
  CpuTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads, std::size_t head = 0,
             World* world = nullptr, bool full_logits = false);

  void freeze(const std::vector<float>& weights) override;
  void begin(const AdamW& optimizer) override { take(optimizer.master); }
  void take(const std::vector<float>& master) override;
  nn::LossSum gradient(const std::vector<const TrainExample*>& examples, float scale) override;
  std::vector<std::vector<float>> objective_gradient(const std::vector<TrainExample>& examples, const Derive& derive) override;
  void rehearse(std::size_t longest) override;  // on every thread
  std::size_t tokens_together() const override { return kChunkTokens; }
  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& examples) override;
  std::vector<double> values(const std::vector<TrainExample>& examples) override;
  void value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives) override;
  double gradient_norm() override;
  void update(AdamW& optimizer, double lr, double scale) override;
  void fetch(AdamW&, bool) override {}  // they lie here
  std::unique_ptr<Reference> reference(std::optional<std::vector<float>> weights) override;
  Result<std::unique_ptr<infer::Engine>> open_engine(TokenizerFiles files, const std::string& tokenizer_folder, const EngineOptions& options) override;

  // Gradients that this process holds, of all that is trained each.
  int gradients() const { return sums_.buffers(); }

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
  int lanes_;
  std::pair<int, int> mine_;        // of the lanes
  std::vector<nn::Pass> passes_;    // one for each thread that has a lane
  LaneSums sums_;
  std::vector<Slice> slices_;
  std::vector<double> norms_;  // of slices, squared
};

}  // namespace precept
