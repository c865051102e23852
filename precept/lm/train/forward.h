#pragma once
// Log-probabilities and values of many sequences on several threads, forwards only.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "precept/lm/nn/llama.h"
#include "precept/lm/train/batch_trainer.h"
#include "precept/lm/train/lanes.h"
#include "precept/lm/train/world.h"

namespace precept {

// `passes`: one for each thread; `lanes`: how many the sequences are dealt to, which changes no bit here, for nothing is summed over
// them. Of several processes each computes its lanes, and all get everything. [sequence][i]: log p(token i | tokens before it) where
// weights[i] is not 0 and i > 0, else 0.
std::vector<std::vector<float>> logprobs_of(std::vector<nn::Pass>& passes, const nn::Weights& weights,
                                            const std::vector<const TrainExample*>& sequences, int lanes, World* world = nullptr);
// nn::sequence_values of all; each needs two tokens.
std::vector<double> values_of(std::vector<nn::Pass>& passes, const nn::Weights& weights, const float* head, int hidden_size,
                              const std::vector<const TrainExample*>& sequences, int lanes, World* world = nullptr);

// --- what those are made of ---

// Tokens of a sequence whose log-probabilities count.
std::size_t counted(const TrainExample& sequence);
std::vector<std::vector<float>> zeros_for(const std::vector<const TrainExample*>& sequences);
// Puts those of a chunk's counted tokens where they belong.
void spread(const std::vector<const TrainExample*>& sequences, const std::vector<std::size_t>& positions, const std::vector<float>& picked,
            std::vector<std::vector<float>>& out);
// Each process knows its lanes' and learns the others'.
void share_logprobs(World* world, const Lanes& lanes, std::vector<std::vector<float>>& logprobs);

// The same for whatever of_lane(lane) gives of each of `lanes` lanes: a span of plain numbers, as long in every process.
template <class OfLane>
void from_all(World* world, int lanes, const OfLane& of_lane) {
  if (!world || world->size() == 1) return;
  std::string mine;
  const auto each = [&](int rank, const auto& work) {
    const auto [first, end] = World::lanes(rank, world->size(), lanes);
    for (int lane = first; lane < end; ++lane) {
      const auto numbers = of_lane(static_cast<std::size_t>(lane));
      work(reinterpret_cast<char*>(numbers.data()), numbers.size_bytes());
    }
  };
  each(world->rank(), [&](const char* bytes, std::size_t count) { mine.append(bytes, count); });
  const std::vector<std::string> all = world->gather(mine);
  for (int rank = 0; rank < world->size(); ++rank) {
    if (rank == world->rank()) continue;
    std::size_t at = 0;
    each(rank, [&](char* bytes, std::size_t count) {
      all[static_cast<std::size_t>(rank)].copy(bytes, count, at);
      at += count;
    });
    PRECEPT_CHECK(at == all[static_cast<std::size_t>(rank)].size());
  }
}

// A model that is not trained: a reference, or a reward model. Weights that it owns, or those of a trainer's frozen base.
class FrozenModel : public Reference {
 public:
  // `flat`: as the layout, and a value head behind it where there is one. All but the weights is borrowed. `threads` compute.
  FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const std::vector<float>& flat, int threads);
  FrozenModel(const nn::Layout& layout, const nn::Kernels& kernels, const nn::Weights& base, int threads);

  std::vector<std::vector<float>> logprobs(const std::vector<TrainExample>& sequences) override;
  std::vector<double> values(const std::vector<TrainExample>& sequences);

 private:
  const nn::Layout& layout_;
  std::unique_ptr<nn::Weights> own_;
  const nn::Weights& weights_;
  std::vector<nn::Pass> passes_;
};

}  // namespace precept
