#pragma once
// CUDA graphs of the forward pass of decode steps: launching its some hundred kernels one by one takes longer than they run.
// Steps of one shape share a graph, whose inputs lie in a buffer of its own. Without CUDA, and for all other steps: plain calls.

#include <cstdint>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "precept/lm/torch/decoder.h"

namespace precept::infer {

class DecodeGraphs {
 public:
  DecodeGraphs(Decoder& decoder, at::Device device);
  ~DecodeGraphs();

  // Decoder::forward. What it gives is valid until the next call.
  at::Tensor forward(const StepPlan& plan, const at::Tensor& ints);

 private:
  struct Graph;
  at::Tensor replay(Graph& graph, const StepPlan& plan, const at::Tensor& ints);

  Decoder& decoder_;
  at::Device device_;
  bool works_;  // false after a capture that failed
  // Of memory, for all graphs of one backend (libtorch's MempoolId_t): they run one after the other on its stream, and what one
  // gives is read before the next starts.
  std::pair<unsigned long long, unsigned long long> pool_{0, 0};
  std::list<std::unique_ptr<Graph>> graphs_;  // used last, first
};

}  // namespace precept::infer
