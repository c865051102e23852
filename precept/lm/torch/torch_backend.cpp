#include "precept/lm/torch/torch_backend.h"

#include <algorithm>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include <c10/core/impl/VirtualGuardImpl.h>

#include "precept/lm/nn/row_kernels.h"
#include "precept/lm/torch/errors.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;

std::int64_t size_of(nn::Precision precision) { return precision == nn::Precision::kBf16 ? 2 : 4; }

// Of a position, in one layer.
std::int64_t kv_bytes(const LlamaConfig& c, nn::Precision precision) {
  return 2 * std::int64_t{c.num_key_value_heads} * c.head_dim * size_of(precision);
}

at::Tensor host(std::int64_t size, at::ScalarType type, at::Device device) {
  return at::empty({size}, at::TensorOptions().dtype(type).pinned_memory(device.is_cuda()));
}

c10::OptionalStreamGuard on(const std::optional<c10::Stream>& stream) {
  return stream ? c10::OptionalStreamGuard(*stream) : c10::OptionalStreamGuard();
}

nn::Precision precision_of(const on_device::TrainWeights& weights) { return weights.type == at::kBFloat16 ? nn::Precision::kBf16 : nn::Precision::kFp32; }

}  // namespace

TorchLimits::TorchLimits(const LlamaConfig& c, nn::Precision precision, at::Device device) {
  const bool gpu = device.is_cuda();
  const std::int64_t most = std::int64_t{gpu ? 1024 : 64} << 20;  // bytes of gathered keys and values, and of scores
  step.rows = gpu ? 4096 : 512;
  step.keys = std::max<std::int64_t>(kBlockTokens, most / kv_bytes(c, precision));
  step.scores = std::max<std::int64_t>(kBlockTokens, most / (8 * std::int64_t{c.num_attention_heads}));
  logit_rows = gpu ? 512 : 64;
  const std::int64_t wide = (c.num_attention_heads + 2 * std::int64_t{c.num_key_value_heads}) * c.head_dim;
  scratch_bytes = 2 * most + 16 * step.rows * (c.hidden_size + wide + c.intermediate_size) + 36 * std::int64_t{logit_rows} * c.vocab_size;
}

TorchBackend::TorchBackend(const Weights& weights, at::Device device, std::int64_t cache_bytes, int choices)
    : device_(device), limits_(weights.config, weights.precision, device), choices_(choices) {
  open(weights, weights.config, weights.precision, cache_bytes);
}

TorchBackend::TorchBackend(const on_device::TrainWeights& weights, at::Device device, std::int64_t cache_bytes, int choices)
    : device_(device), limits_(weights.layout.config, precision_of(weights), device), choices_(choices) {
  open(weights, weights.layout.config, precision_of(weights), cache_bytes);
}

template <class Source>
void TorchBackend::open(const Source& weights, const LlamaConfig& config, nn::Precision precision, std::int64_t cache_bytes) {
  const c10::InferenceMode inference;
  if (device_.is_cuda()) stream_ = c10::impl::VirtualGuardImpl(device_.type()).getStreamFromGlobalPool(device_);
  const auto guard = on(stream_);
  const std::int64_t block = kv_bytes(config, precision) * kBlockTokens * config.num_hidden_layers;
  blocks_ = std::max<std::int64_t>(1, cache_bytes / block);
  decoder_.emplace(weights, device_, blocks_);
  planner_.emplace(decoder_->windows(), static_cast<std::uint32_t>(blocks_), limits_.step);
  graphs_.emplace(*decoder_, device_);
}

// A step of which nothing was wanted may still be running, perhaps as a graph that is about to go.
TorchBackend::~TorchBackend() {
  try {
    if (stream_) stream_->synchronize();
  } catch (const std::exception&) {  // the device failed; whoever asked for the step was told
  }
}

void TorchBackend::copy_block(std::uint32_t from, std::uint32_t to) {
  const c10::InferenceMode inference;
  const auto guard = on(stream_);
  decoder_->copy_block(from, to);
  planner_->copied(to);
}

std::vector<Outcome> TorchBackend::run(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted) {
  try {
    return step(segments, wanted);
  } catch (const c10::OutOfMemoryError&) {
    throw std::bad_alloc();
  } catch (const c10::Error& error) {  // its what() has a stack of calls
    throw std::runtime_error(first_line(error.what_without_backtrace()));
  }
}

std::vector<Outcome> TorchBackend::step(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted) {
  const c10::InferenceMode inference;
  const auto guard = on(stream_);
  StepPlan plan = planner_->plan(segments);
  const std::vector<ChoicePlan> choices = plan_choices(plan, wanted, limits_.logit_rows);
  const at::Tensor staged = host(static_cast<std::int64_t>(plan.ints.size()), at::kLong, device_);
  std::copy(plan.ints.begin(), plan.ints.end(), staged.data_ptr<std::int64_t>());
  const at::Tensor ints = staged.to(device_, true);
  if (plan.stale_count > 0) decoder_->clear(ints.narrow(0, static_cast<std::int64_t>(plan.stale), plan.stale_count));
  const at::Tensor x_RC = graphs_->forward(plan, ints);

  std::vector<Outcome> outcomes(wanted.size());
  if (choices.empty()) return outcomes;
  std::vector<at::Tensor> answers;
  for (const ChoicePlan& choice : choices) {
    const at::Tensor rows = ints.narrow(0, static_cast<std::int64_t>(choice.rows), choice.count);
    answers.push_back(answer(choice, ints, decoder_->logits(x_RC, rows), choices_));
  }
  const at::Tensor all = at::cat(answers), back = host(all.numel(), at::kDouble, device_);
  back.copy_(all);  // waits for the device
  const double* at = back.data_ptr<double>();
  for (const ChoicePlan& choice : choices) {
    read_answer(choice, at, wanted, outcomes);
    at += choice.answer_size();
  }
  return outcomes;
}

}  // namespace precept::infer
