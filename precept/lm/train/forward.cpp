#include "precept/lm/train/forward.h"

#include "precept/lm/nn/value_head.h"

namespace precept {
namespace {

std::vector<nn::Pass> passes_for(const nn::Layout& layout, const nn::Kernels& kernels) {
  std::vector<nn::Pass> passes;
  for (int i = 0; i < kLanes; ++i) passes.emplace_back(layout, kernels);
  return passes;
}

}  // namespace

std::vector<std::vector<float>> logprobs_of(std::vector<nn::Pass>& passes, const nn::Weights& weights,
                                            const std::vector<const TrainExample*>& sequences, int threads) {
  std::vector<std::vector<float>> out(sequences.size());
  const Lanes lanes = deal(sequences);
  share(threads, kLanes, [&](int job) {
    const auto lane = static_cast<std::size_t>(job);
    in_chunks(sequences, lanes[lane], [&](const auto& chunk, const auto& positions) {
      passes[lane].run(weights, chunk, 1.0F, nullptr);
      auto next = passes[lane].picked_logprobs().begin();
      for (const std::size_t position : positions) {
        const TrainExample& sequence = *sequences[position];
        std::vector<float>& logp = out[position];
        logp.assign(sequence.tokens.size(), 0.0F);
        for (std::size_t i = 1; i < logp.size(); ++i) {
          if (sequence.weights[i] != 0.0F) logp[i] = *next++;
        }
      }
    });
  });
  return out;
}

std::vector<double> values_of(std::vector<nn::Pass>& passes, const nn::Weights& weights, const float* head, int hidden_size,
                              const std::vector<const TrainExample*>& sequences, int threads) {
  std::vector<double> out(sequences.size());
  const Lanes lanes = deal(sequences);
  share(threads, kLanes, [&](int job) {
    const auto lane = static_cast<std::size_t>(job);
    in_chunks(sequences, lanes[lane], [&](const auto& chunk, const auto& positions) {
      const std::vector<double> values = nn::sequence_values(passes[lane], weights, head, hidden_size, chunk);
      for (std::size_t i = 0; i < positions.size(); ++i) out[positions[i]] = values[i];
    });
  });
  return out;
}

FrozenModel::FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const std::vector<float>& flat, int threads)
    : layout_(layout), own_(std::make_unique<nn::Weights>(layout)), weights_(*own_), passes_(passes_for(layout, kernels)),
      threads_(threads) {
  own_->flat.assign(flat.begin(), flat.end());
  const int parts = 4 * threads;
  share(threads, parts, [&](int part) { own_->pack(kernels, part, parts); });
}

FrozenModel::FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const nn::Weights& base, int threads)
    : layout_(layout), weights_(base), passes_(passes_for(layout, kernels)), threads_(threads) {}

std::vector<std::vector<float>> FrozenModel::logprobs(const std::vector<TrainExample>& sequences) {
  return logprobs_of(passes_, weights_, pointers_to(sequences), threads_);
}

std::vector<double> FrozenModel::values(const std::vector<TrainExample>& sequences) {
  return values_of(passes_, weights_, weights_.at(layout_.size), layout_.config.hidden_size, pointers_to(sequences), threads_);
}

}  // namespace precept
