#include "precept/lm/train/batch_trainer.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

namespace precept {
namespace {

constexpr int kChunkTokens = 1024;       // tokens that run through the model together
constexpr std::size_t kBlock = 1 << 16;  // elements of one partial norm

// Runs work(0..jobs-1) on `threads` threads; which thread does which does not matter to the result.
// The first exception (memory) is thrown again here.
template <class Work>
void share(int threads, int jobs, const Work& work) {
  std::atomic<int> taken{0};
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto run = [&] {
    try {
      for (int job = taken++; job < jobs; job = taken++) work(job);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!thrown) thrown = std::current_exception();
      taken = jobs;
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads, jobs); ++i) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace

BatchTrainer::BatchTrainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, int threads)
    : layout_(layout), kernels_(options.precision == "bf16" ? *nn::bf16_kernels() : nn::kernels()), threads_(threads),
      weights_(layout), lora_(lora ? std::make_unique<nn::LoraWeights>(*lora, true) : nullptr) {
  for (int i = 0; i < kLanes; ++i) {
    passes_.emplace_back(layout_, kernels_, lora_.get());
    gradients_[static_cast<std::size_t>(i)].resize(trained().size());
  }
  if (lora) {
    add_slices(0, lora->size, true);
  } else {
    for (const nn::Param& param : layout_.params) add_slices(param.offset, param.size(), param.cols != 0);
  }
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

// The longest first, each to the lane with the least work.
BatchTrainer::Lanes BatchTrainer::deal(const Batch& batch) {
  std::vector<std::size_t> order(batch.examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return batch.examples[a].tokens.size() > batch.examples[b].tokens.size();
  });
  Lanes lanes;
  std::array<std::size_t, kLanes> load{};
  for (const std::size_t i : order) {
    const auto lane = static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    lanes[lane].push_back(&batch.examples[i]);
    load[lane] += batch.examples[i].tokens.size();
  }
  return lanes;
}

// The lane's examples in chunks.
nn::LossSum BatchTrainer::run_lane(std::size_t lane, const std::vector<const TrainExample*>& examples, float scale) {
  nn::Floats& gradient = gradients_[lane];
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  nn::LossSum sum;
  std::vector<const TrainExample*> chunk;
  std::size_t tokens = 0;
  const auto flush = [&] {
    const nn::LossSum part = passes_[lane].run(weights_, chunk, scale, gradient.data());
    sum.loss += part.loss;
    sum.weight += part.weight;
    chunk.clear();
    tokens = 0;
  };
  for (const TrainExample* example : examples) {
    if (!chunk.empty() && tokens + example->tokens.size() > kChunkTokens) flush();
    chunk.push_back(example);
    tokens += example->tokens.size();
  }
  if (!chunk.empty()) flush();
  return sum;
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
  const Lanes lanes = deal(batch);
  std::array<nn::LossSum, kLanes> sums;
  share(threads_, kLanes, [&](int job) {
    const auto lane = static_cast<std::size_t>(job);
    sums[lane] = run_lane(lane, lanes[lane], float(1.0 / total));
  });
  nn::LossSum sum;
  for (const nn::LossSum& lane : sums) {
    sum.loss += lane.loss;
    sum.weight += lane.weight;
  }
  sum_lanes();
  return sum;
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
