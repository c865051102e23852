#include "precept/lm/train/batch_trainer.h"

#include <algorithm>

#include "precept/lm/nn/value_head.h"
#include "precept/lm/train/forward.h"

namespace precept {
namespace {

constexpr std::size_t kBlock = 1 << 16;  // elements of one partial norm

}  // namespace

BatchTrainer::BatchTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads, std::size_t head)
    : layout_(layout), kernels_(options.precision == "bf16" ? *nn::bf16_kernels() : nn::kernels()), threads_(threads),
      head_(lora ? lora->size : layout.size), weights_(layout), lora_(lora ? std::make_unique<nn::LoraWeights>(*lora, true) : nullptr) {
  (lora_ ? lora_->flat : weights_.flat).resize(head_ + head);
  for (int i = 0; i < kLanes; ++i) {
    passes_.emplace_back(layout_, kernels_, lora_.get());
    gradients_[static_cast<std::size_t>(i)].resize(trained().size());
  }
  if (lora) {
    add_slices(0, lora->size, true);
  } else {
    for (const nn::Param& param : layout_.params) add_slices(param.offset, param.size(), param.cols != 0);
  }
  if (head > 0) add_slices(head_, head, false);
  norms_.resize(slices_.size());
}

void BatchTrainer::add_slices(std::size_t offset, std::size_t size, bool decay) {
  for (std::size_t at = 0; at < size; at += kBlock) slices_.push_back({offset + at, offset + std::min(at + kBlock, size), decay});
}

void BatchTrainer::freeze(const std::vector<float>& weights) {
  std::copy(weights.begin(), weights.end(), weights_.flat.begin());
  const int parts = 4 * threads_;
  share(threads_, parts, [&](int part) { weights_.pack(kernels_, part, parts); });
}

void BatchTrainer::take(const std::vector<float>& master) {
  if (lora_) {
    std::copy(master.begin(), master.end(), lora_->flat.begin());
  } else {
    for (std::size_t i = 0; i < master.size(); ++i) weights_.flat[i] = round_to_bf16(master[i]);
  }
  pack();
}

void BatchTrainer::pack() {
  if (lora_) return lora_->pack(kernels_);
  const int parts = 4 * threads_;
  share(threads_, parts, [&](int part) { weights_.pack(kernels_, part, parts); });
}

float* BatchTrainer::cleared(std::size_t lane) {
  std::fill(gradients_[lane].begin(), gradients_[lane].end(), 0.0F);
  return gradients_[lane].data();
}

void BatchTrainer::sum_lanes() {
  share(threads_, int(slices_.size()), [&](int job) {
    const Slice& slice = slices_[static_cast<std::size_t>(job)];
    double squares = 0;
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      float g = gradients_[0][i];
      for (std::size_t lane = 1; lane < kLanes; ++lane) g += gradients_[lane][i];
      gradients_[0][i] = g;
      squares += double(g) * double(g);
    }
    norms_[static_cast<std::size_t>(job)] = squares;
  });
}

nn::LossSum BatchTrainer::loss_and_gradient(const Batch& batch) {
  double total = 0;
  for (const TrainExample& example : batch.examples) {
    for (std::size_t i = 1; i < example.weights.size(); ++i) total += double(example.weights[i]);
  }
  if (total == 0) return {};
  return gradient(pointers_to(batch.examples), float(1.0 / total));
}

nn::LossSum BatchTrainer::gradient(const std::vector<const TrainExample*>& examples, float scale) {
  const Lanes lanes = deal(examples);
  std::array<nn::LossSum, kLanes> sums;
  share(threads_, kLanes, [&](int job) {
    const auto lane = static_cast<std::size_t>(job);
    float* gradient = cleared(lane);
    in_chunks(examples, lanes[lane], [&](const auto& chunk, const auto&) {
      const nn::LossSum part = passes_[lane].run(weights_, chunk, scale, gradient);
      sums[lane].loss += part.loss;
      sums[lane].weight += part.weight;
    });
  });
  nn::LossSum sum;
  for (const nn::LossSum& lane : sums) {
    sum.loss += lane.loss;
    sum.weight += lane.weight;
  }
  sum_lanes();
  return sum;
}

std::vector<std::vector<float>> BatchTrainer::logprobs(const std::vector<TrainExample>& examples) {
  return logprobs_of(passes_, weights_, pointers_to(examples), threads_);
}

std::vector<double> BatchTrainer::values(const std::vector<TrainExample>& examples) {
  return values_of(passes_, weights_, head(), layout_.config.hidden_size, pointers_to(examples), threads_);
}

void BatchTrainer::value_gradient(const std::vector<TrainExample>& examples, const std::vector<double>& derivatives) {
  const std::vector<const TrainExample*> sequences = pointers_to(examples);
  const Lanes lanes = deal(sequences);
  share(threads_, kLanes, [&](int job) {
    const auto lane = static_cast<std::size_t>(job);
    float* gradient = cleared(lane);
    in_chunks(sequences, lanes[lane], [&](const auto& chunk, const auto& positions) {
      std::vector<double> d;
      for (const std::size_t position : positions) d.push_back(derivatives[position]);
      nn::sequence_values_back(passes_[lane], weights_, head(), layout_.config.hidden_size, chunk, d, gradient, gradient + head_);
    });
  });
  sum_lanes();
}

void BatchTrainer::update(AdamW& optimizer, double lr, double scale) {
  ++optimizer.step;
  nn::Floats& seen = lora_ ? lora_->flat : weights_.flat;
  share(threads_, int(slices_.size()), [&](int job) {
    const Slice& slice = slices_[static_cast<std::size_t>(job)];
    adamw_update(optimizer, optimizer.step, lr, slice.decay ? optimizer.weight_decay : 0.0, float(scale),
                 gradients_[0].data(), seen.data(), slice.begin, slice.end);
    // Adapters are written in fp32: what the passes see of them is not rounded.
    if (lora_) std::copy_n(optimizer.master.data() + slice.begin, slice.end - slice.begin, seen.data() + slice.begin);
  });
  pack();
}

}  // namespace precept
