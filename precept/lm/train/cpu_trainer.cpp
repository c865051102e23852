#include "precept/lm/train/cpu_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <thread>

#include "precept/lm/infer/device.h"
#include "precept/lm/nn/value_head.h"
#include "precept/lm/train/forward.h"

namespace precept {
namespace {

constexpr std::size_t kBlock = 1 << 16;  // elements of one partial norm

}  // namespace

CpuTrainer::CpuTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads, std::size_t head,
                           World* world, bool full_logits)
    : BatchTrainer(lora != nullptr, world), layout_(layout), kernels_(nn::kernels(options.precision == "bf16")), threads_(threads),
      head_(lora ? lora->size : layout.size), weights_(layout, kernels_, lora ? 0 : head), lora_(lora ? std::make_unique<nn::LoraWeights>(*lora, true) : nullptr),
      lanes_(options.lanes), mine_(world ? World::lanes(world->rank(), world->size(), lanes_) : std::pair{0, lanes_}),
      sums_(head_ + head, mine_.first, mine_.second, threads, !world || world->rank() == 0) {
  if (lora_) lora_->flat.resize(head_ + head);
  for (int i = 0; i < std::min(threads_, mine_.second - mine_.first); ++i) {
    passes_.emplace_back(layout_, kernels_, lora_.get(), nn::PassOptions{.recompute = options.activation_checkpointing, .full_logits = full_logits});
  }
  if (lora) {
    add_slices(0, lora->size);
  } else {
    for (const nn::Param& param : layout_.params) add_slices(param.offset, param.size());
  }
  if (head > 0) add_slices(head_, head);
  norms_.resize(slices_.size());
}

void CpuTrainer::add_slices(std::size_t offset, std::size_t size) {
  for (std::size_t at = 0; at < size; at += kBlock) slices_.push_back({offset + at, offset + std::min(at + kBlock, size)});
}

void CpuTrainer::set_weights(const Make& make) {
  ++version_;
  std::vector<nn::Floats> scratch(static_cast<std::size_t>(threads_));
  const std::vector<nn::Weights::Piece>& pieces = weights_.pieces();
  share(threads_, static_cast<int>(pieces.size()), [&](int job, int thread) {
    const nn::Weights::Piece& piece = pieces[static_cast<std::size_t>(job)];
    nn::Floats& values = scratch[static_cast<std::size_t>(thread)];
    if (values.size() < piece.end - piece.begin) values.resize(piece.end - piece.begin);
    make(piece, values.data());
    weights_.set(piece, values.data());
  });
}

void CpuTrainer::freeze(const std::vector<float>& weights) {
  set_weights([&](const nn::Weights::Piece& piece, float* values) { std::copy_n(weights.data() + piece.begin, piece.end - piece.begin, values); });
}

void CpuTrainer::take(const std::vector<float>& master) {
  if (!lora_) {
    return set_weights([&](const nn::Weights::Piece& piece, float* values) {
      for (std::size_t i = piece.begin; i < piece.end; ++i) *values++ = round_to_bf16(master[i]);
    });
  }
  ++version_;
  std::copy(master.begin(), master.end(), lora_->flat.begin());
  lora_->pack(kernels_);
}

void CpuTrainer::run_lanes(const LaneWork& work) {
  sums_.begin();
  share(threads_, mine_.second - mine_.first, [&](int job, int thread) {
    const int lane = mine_.first + job;
    try {
      work(static_cast<std::size_t>(lane), passes_[static_cast<std::size_t>(thread)], sums_.take(lane));
    } catch (...) {
      sums_.abandon();
      throw;
    }
    sums_.give(lane);
  });
  if (world_ && world_->size() > 1) world_->add_in_order(sums_, lanes_);
  measure_norms();
}

void CpuTrainer::measure_norms() {
  const nn::Floats& sum = sums_.sum();
  share(threads_, int(slices_.size()), [&](int job) {
    const Slice& slice = slices_[static_cast<std::size_t>(job)];
    double squares = 0;
    for (std::size_t i = slice.begin; i < slice.end; ++i) squares += double(sum[i]) * double(sum[i]);
    norms_[static_cast<std::size_t>(job)] = squares;
  });
}

nn::LossSum CpuTrainer::gradient(const std::vector<const TrainExample*>& examples, float scale) {
  const Lanes lanes = deal(examples, lanes_);
  std::vector<nn::LossSum> sums(lanes.size());
  run_lanes([&](std::size_t lane, nn::Pass& pass, float* gradient) {
    in_chunks(examples, lanes[lane], [&](const auto& chunk, const auto&) {
      const nn::LossSum part = pass.run(weights_, chunk, scale, gradient);
      sums[lane].loss += part.loss;
      sums[lane].weight += part.weight;
    });
  });
  from_all(world_, lanes_, [&](std::size_t lane) { return std::span<nn::LossSum>(&sums[lane], 1); });
  nn::LossSum sum;
  for (const nn::LossSum& lane : sums) {
    sum.loss += lane.loss;
    sum.weight += lane.weight;
  }
  return sum;
}

std::vector<std::vector<float>> CpuTrainer::objective_gradient(const std::vector<TrainExample>& examples, const Derive& derive) {
  const std::vector<const TrainExample*> sequences = pointers_to(examples);
  const Lanes lanes = deal(sequences, lanes_);
  std::vector<std::vector<float>> out = zeros_for(sequences);
  run_lanes([&](std::size_t lane, nn::Pass& pass, float* gradient) {
    in_chunks(sequences, lanes[lane], [&](const auto& chunk, const auto& positions) {
      const auto weigh = [&](std::span<const float> logp, std::span<float> weight) {
        std::size_t next = 0;
        for (const std::size_t position : positions) {
          const std::size_t count = counted(*sequences[position]);
          const std::vector<float> d = derive(position, logp.subspan(next, count));
          for (std::size_t i = 0; i < count; ++i) weight[next + i] = -d[i];
          next += count;
        }
      };
      pass.run_objective(weights_, chunk, weigh, gradient);
      spread(sequences, positions, pass.picked_logprobs(), out);
    });
  });
  share_logprobs(world_, lanes, out);
  return out;
}

std::vector<std::vector<float>> CpuTrainer::logprobs(const std::vector<TrainExample>& examples) {
  return logprobs_of(passes_, weights_, pointers_to(examples), lanes_, world_);
}

std::vector<double> CpuTrainer::values(const std::vector<TrainExample>& examples) {
  return values_of(passes_, weights_, head(), layout_.config.hidden_size, pointers_to(examples), lanes_, world_);
}

void CpuTrainer::value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives) {
  const std::vector<const TrainExample*> sequences = pointers_to(examples);
  const Lanes lanes = deal(sequences, lanes_);
  run_lanes([&](std::size_t lane, nn::Pass& pass, float* gradient) {
    in_chunks(sequences, lanes[lane], [&](const auto& chunk, const auto& positions) {
      std::vector<double> d;
      for (const std::size_t position : positions) d.push_back(derivatives[position]);
      nn::sequence_values_back(pass, weights_, head(), layout_.config.hidden_size, chunk, d, gradient, gradient + head_);
    });
  });
}

void CpuTrainer::rehearse(std::size_t longest) {
  const auto row = [](std::size_t tokens) { return TrainExample{std::vector<std::int32_t>(tokens, 0), std::vector<float>(tokens, 1.0F)}; };
  std::vector<TrainExample> examples{row(longest)};
  if (longest + 1 < kChunkTokens) examples.push_back(row(kChunkTokens - longest));
  const std::vector<const TrainExample*> chunk = pointers_to(examples);
  sums_.begin();
  const int together = static_cast<int>(passes_.size());
  share(together, together, [&](int job) {
    try {
      passes_[static_cast<std::size_t>(job)].run(weights_, chunk, 1.0F, sums_.take(mine_.first + job));
    } catch (...) {
      sums_.abandon();
      throw;
    }
  });
}

double CpuTrainer::gradient_norm() { return std::sqrt(std::accumulate(norms_.begin(), norms_.end(), 0.0)); }

void CpuTrainer::update(AdamW& optimizer, double lr, double scale) {
  ++optimizer.step;
  const float* gradient = sums_.sum().data();
  const auto step = [&](std::size_t begin, std::size_t end, bool decay, float* rounded) {
    adamw_update(optimizer, optimizer.step, lr, decay ? optimizer.weight_decay : 0.0, float(scale), gradient, rounded, begin, end);
  };
  if (!lora_) {
    return set_weights([&](const nn::Weights::Piece& piece, float* values) { step(piece.begin, piece.end, !piece.vector, values); });
  }
  ++version_;
  share(threads_, int(slices_.size()), [&](int job) {
    const Slice& slice = slices_[static_cast<std::size_t>(job)];
    float* values = lora_->flat.data() + slice.begin;
    step(slice.begin, slice.end, slice.begin < head_, values);
    // Adapters are written in fp32: what the passes see of them is not rounded.
    std::copy_n(optimizer.master.data() + slice.begin, slice.end - slice.begin, values);
  });
  lora_->pack(kernels_);
}

std::unique_ptr<Reference> CpuTrainer::reference(std::optional<std::vector<float>> weights) {
  const int threads = std::min(threads_, lanes_);  // as the trainer's own
  if (!weights) return std::make_unique<FrozenModel>(layout_, kernels_, weights_, threads);
  for (float& weight : *weights) weight = round_to_bf16(weight);
  return std::make_unique<FrozenModel>(layout_, kernels_, *weights, threads);
}

// The engine on the weights that the trainer has in memory: they are the same bytes, so there is nothing to hand over after a step, and
// the log-probabilities of its answers are the trainer's to the bit.
Result<std::unique_ptr<infer::Engine>> CpuTrainer::open_engine(TokenizerFiles files, const std::string& tokenizer_folder, const EngineOptions& options) {
  EngineOptions here = options;
  here.device = "cpu";
  const auto backend = [&](int choices) { return infer::open_backend(infer::trained_weights(layout_, weights_, kernels_), here, choices); };
  return infer::open_trained({layout_.config, lora_.get(), tokenizer_folder, backend}, std::move(files), here);
}

}  // namespace precept
