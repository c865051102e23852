#pragma once
// Trains on a device of libtorch: weights, masters, moments and gradient lie there, and one step waits for it twice, for the loss and the
// gradient's norm (and where an objective's derivatives are computed here, once for each chunk).
//
// Of several processes each computes a part of every batch, and gradients are summed by c10d (process_group.h). Other than on the
// processor, how many there are changes last bits; so do a GPU's own kernels, from run to run.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <ATen/ATen.h>

#include "precept/lm/torch/api.h"
#include "precept/lm/torch/process_group.h"
#include "precept/lm/torch/train_pass.h"
#include "precept/lm/train/lanes.h"

namespace precept::on_device {

class TorchTrainer : public BatchTrainer {
 public:
  TorchTrainer(const infer::TrainerSpec& spec, at::Device device);

  void freeze(const std::vector<float>& weights) override;
  void begin(const AdamW& optimizer) override;
  void take(const std::vector<float>& master) override;
  nn::LossSum gradient(const std::vector<const TrainExample*>& examples, float scale) override;
  std::vector<std::vector<float>> objective_gradient(const std::vector<TrainExample>& examples, const Derive& derive) override;
  void rehearse(std::size_t longest) override;
  std::size_t tokens_together() const override { return static_cast<std::size_t>(chunk_); }
  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& examples) override;
  std::vector<double> values(const std::vector<TrainExample>& examples) override;
  void value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives) override;
  double gradient_norm() override;
  void update(AdamW& optimizer, double lr, double scale) override;
  void fetch(AdamW& optimizer, bool moments) override;
  std::unique_ptr<Reference> reference(std::optional<std::vector<float>> weights) override;
  Result<std::unique_ptr<infer::Engine>> open_engine(TokenizerFiles files, const std::string& tokenizer_folder, const EngineOptions& options) override;

 private:
  // Elements that one step of the optimiser treats alike, and few enough for its temporaries.
  struct Range {
    std::int64_t begin, size;
    bool decays;
  };
  void add_range(std::size_t begin, std::size_t size, bool decays);
  void show(const at::Tensor& master);
  void changed();
  Lanes deal_to_processes(const std::vector<const TrainExample*>& examples) const;
  // Calls work(chunk, positions) for this process's part of the examples.
  template <class Work>
  void on_chunks(const std::vector<const TrainExample*>& examples, const Lanes& lanes, const Work& work);
  // A gradient of zeros that work() adds to; then the sum over all processes.
  template <class Work>
  void make_gradient(const Work& work);

  const at::Device device_;
  const int chunk_;  // tokens that run through the model together
  const std::size_t size_;  // of what is trained, and the value head
  TrainWeights weights_;
  TrainPass pass_;
  std::unique_ptr<ProcessGroup> group_;  // null: this is the only process
  std::vector<Range> ranges_;
  at::Tensor master_, mean_, square_, gradient_;
  bool serves_ = false;                      // there is an engine
  std::unique_ptr<nn::LoraWeights> named_;  // what its requests call the adapter by; its values are not used
};

}  // namespace precept::on_device
