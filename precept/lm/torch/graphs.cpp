#include "precept/lm/torch/graphs.h"

#include <algorithm>

#ifdef PRECEPT_TORCH_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace precept::infer {

#ifdef PRECEPT_TORCH_CUDA

namespace {

constexpr std::size_t kMostGraphs = 64;

}  // namespace

struct DecodeGraphs::Graph {
  std::vector<int> shape;
  at::cuda::CUDAGraph graph;
  at::Tensor ints, x_RC;  // what it reads and gives; undefined until it is captured
};

at::Tensor DecodeGraphs::replay(Graph& graph, const StepPlan& plan, const at::Tensor& ints) {
  const at::Tensor fixed = ints.narrow(0, 0, static_cast<std::int64_t>(plan.fixed));
  if (!graph.ints.defined()) {
    const at::Tensor own = fixed.clone();
    try {
      if (pool_.second == 0) pool_ = at::cuda::graph_pool_handle();
      graph.graph.capture_begin(pool_);
      graph.x_RC = decoder_.forward(plan, own);
      graph.graph.capture_end();
    } catch (const std::exception&) {
      // Some operator cannot be captured here: the step itself still can be computed.
      try {
        graph.graph.capture_end();
      } catch (const std::exception&) {
      }
      works_ = false;
      return decoder_.forward(plan, ints);
    }
    graph.ints = own;
  } else {
    graph.ints.copy_(fixed, true);
  }
  graph.graph.replay();
  return graph.x_RC;
}

#else

struct DecodeGraphs::Graph {};

at::Tensor DecodeGraphs::replay(Graph&, const StepPlan& plan, const at::Tensor& ints) { return decoder_.forward(plan, ints); }

#endif

DecodeGraphs::DecodeGraphs(Decoder& decoder, at::Device device) : decoder_(decoder), device_(device), works_(device.is_cuda()) {}

DecodeGraphs::~DecodeGraphs() = default;

at::Tensor DecodeGraphs::forward(const StepPlan& plan, const at::Tensor& ints) {
  if (!works_ || !plan.decode || !plan.adapters.empty()) return decoder_.forward(plan, ints);
#ifdef PRECEPT_TORCH_CUDA
  const auto known = std::find_if(graphs_.begin(), graphs_.end(), [&](const auto& graph) { return graph->shape == plan.shape; });
  if (known != graphs_.end()) {
    graphs_.splice(graphs_.begin(), graphs_, known);
    return replay(*graphs_.front(), plan, ints);
  }
  // A shape's first step is computed without a graph, which also makes libraries set up what must not happen in a capture.
  if (graphs_.size() >= kMostGraphs) {
    c10::cuda::getCurrentCUDAStream(device_.index()).synchronize();  // the last one may still be running
    graphs_.pop_back();
  }
  graphs_.push_front(std::make_unique<Graph>());
  graphs_.front()->shape = plan.shape;
#endif
  return decoder_.forward(plan, ints);
}

}  // namespace precept::infer
