#include "precept/lm/train/forward.h"

#include <algorithm>

#include "precept/lm/nn/value_head.h"

namespace precept {
namespace {

std::vector<nn::Pass> passes_for(const nn::Layout& layout, const nn::Kernels& kernels, int threads) {
  std::vector<nn::Pass> passes;
  for (int i = 0; i < threads; ++i) passes.emplace_back(layout, kernels);
  return passes;
}

// Calls work(pass, chunk, positions) for the chunks of this process's lanes.
template <class Work>
void on_lanes(std::vector<nn::Pass>& passes, const std::vector<const TrainExample*>& sequences, const Lanes& lanes, World* world,
              const Work& work) {
  const int count = static_cast<int>(lanes.size());
  const auto [first, end] = world ? World::lanes(world->rank(), world->size(), count) : std::pair{0, count};
  share(static_cast<int>(passes.size()), end - first, [&, first = first](int job, int thread) {
    in_chunks(sequences, lanes[static_cast<std::size_t>(first + job)],
              [&](const auto& chunk, const auto& positions) { work(passes[static_cast<std::size_t>(thread)], chunk, positions); });
  });
}

}  // namespace

std::size_t counted(const TrainExample& sequence) {
  if (sequence.weights.empty()) return 0;
  return static_cast<std::size_t>(std::count_if(sequence.weights.begin() + 1, sequence.weights.end(), [](float w) { return w != 0.0F; }));
}

std::vector<std::vector<float>> zeros_for(const std::vector<const TrainExample*>& sequences) {
  std::vector<std::vector<float>> out;
  for (const TrainExample* sequence : sequences) out.emplace_back(sequence->tokens.size(), 0.0F);
  return out;
}

void spread(const std::vector<const TrainExample*>& sequences, const std::vector<std::size_t>& positions, const std::vector<float>& picked,
            std::vector<std::vector<float>>& out) {
  auto next = picked.begin();
  for (const std::size_t position : positions) {
    for (std::size_t i = 1; i < out[position].size(); ++i) {
      if (sequences[position]->weights[i] != 0.0F) out[position][i] = *next++;
    }
  }
}

void share_logprobs(World* world, const Lanes& lanes, std::vector<std::vector<float>>& logprobs) {
  if (!world || world->size() == 1) return;
  std::vector<std::vector<float>> all(lanes.size());
  const auto each = [&](const auto& work) {
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      std::size_t at = 0;
      for (const std::size_t position : lanes[lane]) {
        work(logprobs[position], all[lane], at);
        at += logprobs[position].size();
      }
    }
  };
  each([](const std::vector<float>& one, std::vector<float>& lane, std::size_t) { lane.insert(lane.end(), one.begin(), one.end()); });
  from_all(world, static_cast<int>(lanes.size()), [&](std::size_t lane) { return std::span<float>(all[lane]); });
  each([](std::vector<float>& one, const std::vector<float>& lane, std::size_t at) { std::copy_n(lane.data() + at, one.size(), one.data()); });
}

std::vector<std::vector<float>> logprobs_of(std::vector<nn::Pass>& passes, const nn::Weights& weights,
                                            const std::vector<const TrainExample*>& sequences, int count, World* world) {
  std::vector<std::vector<float>> out = zeros_for(sequences);
  const Lanes lanes = deal(sequences, count);
  on_lanes(passes, sequences, lanes, world, [&](nn::Pass& pass, const auto& chunk, const auto& positions) {
    pass.run(weights, chunk, 1.0F, nullptr);
    spread(sequences, positions, pass.picked_logprobs(), out);
  });
  share_logprobs(world, lanes, out);
  return out;
}

std::vector<double> values_of(std::vector<nn::Pass>& passes, const nn::Weights& weights, const float* head, int hidden_size,
                              const std::vector<const TrainExample*>& sequences, int count, World* world) {
  std::vector<double> out(sequences.size());
  const Lanes lanes = deal(sequences, count);
  on_lanes(passes, sequences, lanes, world, [&](nn::Pass& pass, const auto& chunk, const auto& positions) {
    const std::vector<double> values = nn::sequence_values(pass, weights, head, hidden_size, chunk);
    for (std::size_t i = 0; i < positions.size(); ++i) out[positions[i]] = values[i];
  });
  if (!world || world->size() == 1) return out;
  std::vector<std::vector<double>> all(lanes.size());
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    for (const std::size_t position : lanes[lane]) all[lane].push_back(out[position]);
  }
  from_all(world, count, [&](std::size_t lane) { return std::span<double>(all[lane]); });
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    for (std::size_t i = 0; i < lanes[lane].size(); ++i) out[lanes[lane][i]] = all[lane][i];
  }
  return out;
}

FrozenModel::FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const std::vector<float>& flat, int threads)
    : layout_(layout), own_(std::make_unique<nn::Weights>(layout, kernels, flat.size() - layout.size)), weights_(*own_),
      passes_(passes_for(layout, kernels, threads)) {
  const std::vector<nn::Weights::Piece>& pieces = own_->pieces();
  share(threads, static_cast<int>(pieces.size()), [&](int job) {
    const nn::Weights::Piece& piece = pieces[static_cast<std::size_t>(job)];
    own_->set(piece, flat.data() + piece.begin);
  });
}

FrozenModel::FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const nn::Weights& base, int threads)
    : layout_(layout), weights_(base), passes_(passes_for(layout, kernels, threads)) {}

std::vector<std::vector<float>> FrozenModel::logprobs(const std::vector<TrainExample>& sequences) {
  return logprobs_of(passes_, weights_, pointers_to(sequences), static_cast<int>(passes_.size()));
}

std::vector<double> FrozenModel::values(const std::vector<TrainExample>& sequences) {
  return values_of(passes_, weights_, weights_.at(layout_.size), layout_.config.hidden_size, pointers_to(sequences), static_cast<int>(passes_.size()));
}

}  // namespace precept
