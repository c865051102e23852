#pragma once
// A step of the engine on a libtorch device. The host lays a step out, sends it in one copy, queues all operators, and waits
// once, for one array of answers.
//
// A row's results depend on its own sequence only, but not to the bit: libraries choose other kernels for other batches, and
// those sum in other orders. Factors, keys and values are rounded as on the CPU; with bf16 so are the results of products.

#include <optional>

#include <c10/core/StreamGuard.h>

#include "precept/lm/infer/backend.h"
#include "precept/lm/torch/choice.h"
#include "precept/lm/torch/decoder.h"
#include "precept/lm/torch/graphs.h"

namespace precept::infer {

// What a step takes at once on a device.
struct TorchLimits {
  TorchLimits(const LlamaConfig& config, nn::Precision precision, at::Device device);
  StepLimits step;
  int logit_rows;              // rows of logits there at once
  std::int64_t scratch_bytes;  // of all activations at most
};

class TorchBackend : public Backend {
 public:
  // See TorchApi::open.
  TorchBackend(const Weights& weights, at::Device device, std::int64_t cache_bytes, int choices);
  // On a trainer's tensors, which it changes only while no step runs, and has changed before one begins.
  TorchBackend(const on_device::TrainWeights& weights, at::Device device, std::int64_t cache_bytes, int choices);
  ~TorchBackend() override;

  std::vector<Outcome> run(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted) override;
  int max_rows() const override { return limits_.step.rows; }
  void copy_block(std::uint32_t from, std::uint32_t to) override;
  std::int64_t blocks() const override { return blocks_; }

 private:
  template <class Source>
  void open(const Source& weights, const LlamaConfig& config, nn::Precision precision, std::int64_t cache_bytes);
  std::vector<Outcome> step(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted);

  at::Device device_;
  std::optional<c10::Stream> stream_;  // of a GPU: graphs are not captured on its default stream
  TorchLimits limits_;
  std::int64_t choices_, blocks_;
  std::optional<Decoder> decoder_;
  std::optional<StepPlanner> planner_;
  std::optional<DecodeGraphs> graphs_;
};

}  // namespace precept::infer
