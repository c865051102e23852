#include "precept/lm/torch/torch_trainer.h"

#include <algorithm>
#include <cmath>
#include <new>
#include <stdexcept>

#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "precept/lm/torch/errors.h"
#include "precept/lm/torch/torch_backend.h"
#include "precept/lm/train/forward.h"

namespace precept::on_device {
namespace {

constexpr std::int64_t kRange = std::int64_t{1} << 26;  // elements of one part of the optimiser's step

// Tokens that run through the model together: no more than steps have.
constexpr int kDeviceTokens = 8192;
int chunk_tokens(const TrainOptions& options, at::Device device) { return device.is_cuda() ? std::min(kDeviceTokens, std::max(kChunkTokens, options.batch_tokens)) : kChunkTokens; }

// Calls work with the device as libtorch's current one, and says in our own terms what went wrong.
template <class Work>
auto guarded(at::Device device, const Work& work) {
  const c10::DeviceGuard current(device);
  try {
    return work();
  } catch (const c10::OutOfMemoryError&) {
    throw std::bad_alloc();
  } catch (const c10::Error& error) {  // its what() has a stack of calls
    throw std::runtime_error("libtorch: " + first_line(error.what_without_backtrace()));
  }
}

at::Tensor zeros(std::size_t size, at::Device device) {
  return at::zeros({static_cast<std::int64_t>(size)}, at::TensorOptions().dtype(at::kFloat).device(device));
}

// Part by part, so that no copy of all is made in another type.
void upload(const float* from, const at::Tensor& to, bool rounded = false) {
  const c10::NoGradGuard no_grad;
  for (std::int64_t at = 0; at < to.numel(); at += kRange) {
    const std::int64_t some = std::min(kRange, to.numel() - at);
    const at::Tensor part = at::from_blob(const_cast<float*>(from + at), {some}, at::TensorOptions().dtype(at::kFloat));
    to.narrow(0, at, some).copy_(rounded ? part.to(at::kBFloat16) : part);
  }
}

std::vector<double> numbers(const at::Tensor& on_device) {
  const at::Tensor here = on_device.to(at::kCPU, at::kDouble).contiguous();
  return {here.data_ptr<double>(), here.data_ptr<double>() + here.numel()};
}

std::vector<float> floats(const at::Tensor& on_device) {
  const at::Tensor here = on_device.to(at::kCPU, at::kFloat).contiguous();
  return {here.data_ptr<float>(), here.data_ptr<float>() + here.numel()};
}

at::ScalarType type_of(const TrainOptions& options) { return options.precision == "bf16" ? at::kBFloat16 : at::kFloat; }

// Log-probabilities of a chunk's counted tokens, put where they belong.
void measure(TrainPass& pass, const std::vector<const TrainExample*>& sequences, const std::vector<const TrainExample*>& chunk,
             const std::vector<std::size_t>& positions, std::vector<std::vector<float>>& out) {
  const TrainRows rows = pass.lay_out(chunk);
  if (rows.counted > 0) spread(sequences, positions, floats(pass.logprobs(rows, pass.forward(rows, false))), out);
}

// The frozen base of an adapter, which is borrowed, or weights of its own.
class TorchReference : public Reference {
 public:
  TorchReference(TrainWeights weights, at::Device device, int chunk) : device_(device), chunk_(chunk), weights_(std::move(weights)), pass_(weights_, false) {}
  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& examples) override {
    return guarded(device_, [&] {
      const std::vector<const TrainExample*> sequences = pointers_to(examples);
      std::vector<std::vector<float>> out = zeros_for(sequences);
      in_chunks(sequences, deal(sequences, 1)[0], [&](const auto& chunk, const auto& positions) { measure(pass_, sequences, chunk, positions, out); }, chunk_);
      return out;
    });
  }

 private:
  const at::Device device_;
  const int chunk_;
  TrainWeights weights_;
  TrainPass pass_;
};

}  // namespace

TorchTrainer::TorchTrainer(const infer::TrainerSpec& spec, at::Device device)
    : BatchTrainer(spec.lora != nullptr, spec.world), device_(device), chunk_(chunk_tokens(spec.options, device)), size_((spec.lora ? spec.lora->size : spec.layout.size) + spec.head),
      weights_(spec.layout, spec.lora, spec.head, type_of(spec.options), device), pass_(weights_, spec.options.activation_checkpointing) {
  if (world_ && world_->size() > 1) group_ = ProcessGroup::join(*world_, spec.options.world, device);
  gradient_ = zeros(size_, device);
  if (spec.lora) {
    add_range(0, spec.lora->size, true);
  } else {
    for (const nn::Param& param : spec.layout.params) add_range(param.offset, param.size(), param.cols > 0);
  }
  if (spec.head > 0) add_range(size_ - spec.head, spec.head, false);
}

// Neighbours that are treated alike are one.
void TorchTrainer::add_range(std::size_t begin, std::size_t size, bool decays) {
  for (std::size_t at = begin; at < begin + size;) {
    Range* last = ranges_.empty() ? nullptr : &ranges_.back();
    const bool joins = last && last->decays == decays && last->begin + last->size == static_cast<std::int64_t>(at) && last->size < kRange;
    if (!joins) last = &ranges_.emplace_back(Range{static_cast<std::int64_t>(at), 0, decays});
    const std::int64_t some = std::min(kRange - last->size, static_cast<std::int64_t>(begin + size - at));
    last->size += some;
    at += static_cast<std::size_t>(some);
  }
}

void TorchTrainer::freeze(const std::vector<float>& weights) {
  guarded(device_, [&] {
    upload(weights.data(), weights_.factors);
    for (const auto& [offset, values] : weights_.vectors) upload(weights.data() + offset, values);  // as they are; matrices as factors
    changed();
  });
}

void TorchTrainer::begin(const AdamW& optimizer) {
  guarded(device_, [&] {
    for (at::Tensor* tensor : {&master_, &mean_, &square_}) *tensor = zeros(size_, device_);
    upload(optimizer.master.data(), master_);
    upload(optimizer.mean.data(), mean_);
    upload(optimizer.square.data(), square_);
    show(master_);
  });
}

void TorchTrainer::take(const std::vector<float>& master) {
  guarded(device_, [&] {
    upload(master.data(), adapter_ ? weights_.adapter : weights_.factors, !adapter_);
    changed();
  });
}

// What passes see of the masters.
void TorchTrainer::show(const at::Tensor& master) {
  const c10::NoGradGuard no_grad;
  for (const Range& range : ranges_) {
    const at::Tensor part = master.narrow(0, range.begin, range.size), seen = (adapter_ ? weights_.adapter : weights_.factors).narrow(0, range.begin, range.size);
    seen.copy_(adapter_ ? part : part.to(at::kBFloat16));
  }
  changed();
}

// An engine computes on a stream of its own: what it reads must be there before it is asked.
void TorchTrainer::changed() {
  ++version_;
  weights_.refresh();
  if (!serves_ || !device_.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(device_.type());
  guard.synchronizeStream(guard.getStream(device_));
}

Lanes TorchTrainer::deal_to_processes(const std::vector<const TrainExample*>& examples) const { return deal(examples, world_ ? world_->size() : 1); }

template <class Work>
void TorchTrainer::on_chunks(const std::vector<const TrainExample*>& examples, const Lanes& lanes, const Work& work) {
  in_chunks(examples, lanes[static_cast<std::size_t>(world_ ? world_->rank() : 0)], work, chunk_);
}

template <class Work>
void TorchTrainer::make_gradient(const Work& work) {
  gradient_.zero_();
  work();
  if (!group_) return;
  world_->gather("");  // who is gone is noticed here: NCCL would wait for it
  group_->sum(gradient_);
}

nn::LossSum TorchTrainer::gradient(const std::vector<const TrainExample*>& examples, float scale) {
  return guarded(device_, [&] {
    const Lanes lanes = deal_to_processes(examples);
    std::vector<nn::LossSum> sums(lanes.size());
    nn::LossSum& mine = sums[static_cast<std::size_t>(world_ ? world_->rank() : 0)];
    std::vector<at::Tensor> losses;  // fetched at the end, together
    make_gradient([&] {
      on_chunks(examples, lanes, [&](const auto& chunk, const auto&) {
        const TrainRows rows = pass_.lay_out(chunk);
        if (rows.counted == 0) return;
        const at::Tensor logp = pass_.learn(rows, pass_.forward(rows, true), double(scale), gradient_);
        const at::Tensor weight = rows.weight_P.to(at::kDouble);
        losses.push_back(at::stack({-(logp.to(at::kDouble) * weight).sum(), weight.sum()}));
      });
    });
    if (!losses.empty()) {
      const std::vector<double> sum = numbers(at::stack(losses).sum(0));
      mine = {sum[0], sum[1]};
    }
    from_all(world_, static_cast<int>(lanes.size()), [&](std::size_t lane) { return std::span<nn::LossSum>(&sums[lane], 1); });
    nn::LossSum all;
    for (const nn::LossSum& one : sums) {
      all.loss += one.loss;
      all.weight += one.weight;
    }
    return all;
  });
}

std::vector<std::vector<float>> TorchTrainer::objective_gradient(const std::vector<TrainExample>& examples, const Derive& derive) {
  return guarded(device_, [&] {
    const std::vector<const TrainExample*> sequences = pointers_to(examples);
    const Lanes lanes = deal_to_processes(sequences);
    std::vector<std::vector<float>> out = zeros_for(sequences);
    make_gradient([&] {
      on_chunks(sequences, lanes, [&](const auto& chunk, const auto& positions) {
        TrainRows rows = pass_.lay_out(chunk);
        if (rows.counted == 0) return;
        const at::Tensor states = pass_.forward(rows, true);
        const std::vector<float> logp = floats(pass_.logprobs(rows, states));
        spread(sequences, positions, logp, out);
        std::vector<float> weights(logp.size());
        std::size_t next = 0;
        for (const std::size_t position : positions) {
          const std::size_t count = counted(*sequences[position]);
          const std::vector<float> d = derive(position, std::span<const float>(logp).subspan(next, count));
          for (std::size_t i = 0; i < count; ++i) weights[next + i] = -d[i];
          next += count;
        }
        upload(weights.data(), rows.weight_P);
        pass_.learn(rows, states, 1.0, gradient_);
      });
    });
    share_logprobs(world_, lanes, out);
    return out;
  });
}

void TorchTrainer::rehearse(std::size_t longest) {
  const auto most = static_cast<std::size_t>(chunk_);
  const auto row = [](std::size_t tokens) { return TrainExample{std::vector<std::int32_t>(tokens, 0), std::vector<float>(tokens, 1.0F)}; };
  std::vector<TrainExample> examples;
  do {
    examples.push_back(row(longest));
  } while ((examples.size() + 1) * longest <= most);
  if (examples.size() * longest + 1 < most) examples.push_back(row(most - examples.size() * longest));
  guarded(device_, [&] {
    gradient_.zero_();
    const TrainRows rows = pass_.lay_out(pointers_to(examples));
    pass_.learn(rows, pass_.forward(rows, true), 1.0, gradient_);
    gradient_norm();  // waits
    gradient_.zero_();
  });
}

std::vector<std::vector<float>> TorchTrainer::logprobs(const std::vector<TrainExample>& examples) {
  return guarded(device_, [&] {
    const std::vector<const TrainExample*> sequences = pointers_to(examples);
    const Lanes lanes = deal_to_processes(sequences);
    std::vector<std::vector<float>> out = zeros_for(sequences);
    on_chunks(sequences, lanes, [&](const auto& chunk, const auto& positions) { measure(pass_, sequences, chunk, positions, out); });
    share_logprobs(world_, lanes, out);
    return out;
  });
}

std::vector<double> TorchTrainer::values(const std::vector<TrainExample>& examples) {
  return guarded(device_, [&] {
    const std::vector<const TrainExample*> sequences = pointers_to(examples);
    const Lanes lanes = deal_to_processes(sequences);
    std::vector<std::vector<double>> all(lanes.size());
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) all[lane].resize(lanes[lane].size());
    std::vector<double>& mine = all[static_cast<std::size_t>(world_ ? world_->rank() : 0)];
    std::size_t next = 0;
    on_chunks(sequences, lanes, [&](const auto& chunk, const auto&) {
      const TrainRows rows = pass_.lay_out(chunk);
      const at::Tensor states = pass_.forward(rows, false).index_select(0, rows.last_S);
      for (const double value : numbers(at::matmul(states.to(at::kDouble), weights_.value_head().to(at::kDouble)))) mine[next++] = value;
    });
    from_all(world_, static_cast<int>(lanes.size()), [&](std::size_t lane) { return std::span<double>(all[lane]); });
    std::vector<double> out(sequences.size());
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      for (std::size_t i = 0; i < lanes[lane].size(); ++i) out[lanes[lane][i]] = all[lane][i];
    }
    return out;
  });
}

void TorchTrainer::value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives) {
  guarded(device_, [&] {
    const std::vector<const TrainExample*> sequences = pointers_to(examples);
    make_gradient([&] {
      on_chunks(sequences, deal_to_processes(sequences), [&](const auto& chunk, const auto& positions) {
        const TrainRows rows = pass_.lay_out(chunk);
        const at::Tensor states = pass_.forward(rows, true), picked = states.index_select(0, rows.last_S);
        std::vector<float> d;
        for (const std::size_t position : positions) d.push_back(static_cast<float>(derivatives[position]));
        const at::Tensor d_S = at::empty({static_cast<std::int64_t>(d.size()), 1}, picked.options());
        upload(d.data(), d_S.view({-1}));
        const auto head = static_cast<std::int64_t>(weights_.head);
        gradient_.narrow(0, static_cast<std::int64_t>(size_) - head, head).add_((d_S * picked).sum(0));
        at::Tensor dstates = at::zeros_like(states);
        dstates.index_copy_(0, rows.last_S, d_S * weights_.value_head());
        pass_.backward(rows, dstates, gradient_);
      });
    });
  });
}

double TorchTrainer::gradient_norm() {
  return guarded(device_, [&] {
    std::vector<at::Tensor> squares;
    for (const Range& range : ranges_) squares.push_back(gradient_.narrow(0, range.begin, range.size).square().sum(at::kDouble));
    return std::sqrt(at::stack(squares).sum().item<double>());
  });
}

// adamw_update(), in the same order of operations.
void TorchTrainer::update(AdamW& optimizer, double lr, double scale) {
  guarded(device_, [&] {
    const c10::NoGradGuard no_grad;
    ++optimizer.step;
    const auto t = static_cast<double>(optimizer.step);
    const double rate = lr / (1.0 - std::pow(optimizer.beta1, t)), correct = 1.0 / std::sqrt(1.0 - std::pow(optimizer.beta2, t));
    for (const Range& range : ranges_) {
      const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, range.begin, range.size); };
      const at::Tensor g = part(gradient_) * scale, mean = part(mean_), square = part(square_), master = part(master_);
      mean.mul_(optimizer.beta1).add_(g, 1 - optimizer.beta1);
      square.mul_(optimizer.beta2).addcmul_(g, g, 1 - optimizer.beta2);
      master.mul_(1.0 - lr * (range.decays ? optimizer.weight_decay : 0.0));
      master.addcdiv_(mean, square.sqrt().mul_(correct).add_(optimizer.eps), -rate);
    }
    show(master_);
  });
}

void TorchTrainer::fetch(AdamW& optimizer, bool moments) {
  guarded(device_, [&] {
    const auto take = [&](const at::Tensor& from, std::vector<float>& to) {
      at::from_blob(to.data(), {from.numel()}, at::TensorOptions().dtype(at::kFloat)).copy_(from);
    };
    take(master_, optimizer.master);
    if (!moments) return;
    take(mean_, optimizer.mean);
    take(square_, optimizer.square);
  });
}

std::unique_ptr<Reference> TorchTrainer::reference(std::optional<std::vector<float>> weights) {
  return guarded(device_, [&] {
    if (!weights) return std::make_unique<TorchReference>(TrainWeights::base_of(weights_), device_, chunk_);
    TrainWeights own(weights_.layout, nullptr, 0, weights_.type, device_);
    upload(weights->data(), own.factors, true);
    own.refresh();
    return std::make_unique<TorchReference>(std::move(own), device_, chunk_);
  });
}

// On the tensors that passes see: nothing is copied after a step.
Result<std::unique_ptr<infer::Engine>> TorchTrainer::open_engine(TokenizerFiles files, const std::string& tokenizer_folder, const EngineOptions& options) {
  return guarded(device_, [&] {
    serves_ = true;
    changed();
    if (weights_.lora && !named_) named_ = std::make_unique<nn::LoraWeights>(*weights_.lora, false);
    const std::int64_t cache = options.cache_bytes > 0 ? options.cache_bytes : std::int64_t{device_.is_cuda() ? 4096 : 512} << 20;
    const auto backend = [&](int choices) -> Result<std::unique_ptr<infer::Backend>> {
      return std::make_unique<infer::TorchBackend>(weights_, device_, cache, choices);
    };
    return infer::open_trained({weights_.layout.config, named_.get(), tokenizer_folder, backend}, std::move(files), options);
  });
}

}  // namespace precept::on_device
