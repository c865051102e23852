#include "precept/lm/train/batches.h"

#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "precept/core/rng.h"

namespace precept {

std::vector<std::uint32_t> shuffled(std::uint64_t count, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  Rng rng({seed, hash64("train/order"), static_cast<std::uint32_t>(epoch), 0});
  for (std::uint64_t i = count; i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

Batches::Batches(const TrainSet& set, const TrainOptions& options, int limit, int vocab, Position start)
    : set_(set), options_(options), limit_(limit), vocab_(vocab), position_(start) {
  if (!done()) look_ahead(position_);
}

Batches::~Batches() {
  if (ahead_.valid()) ahead_.wait();
}

bool Batches::done() const { return position_.epoch >= options_.epochs; }

void Batches::look_ahead(Position from) {
  ahead_ = std::async(std::launch::async, [this, from] { return build(from); });
}

Result<Batch> Batches::next() {
  Result<Batch> batch = ahead_.get();
  if (!batch) return batch;
  position_ = batch->next;
  if (!done()) look_ahead(position_);
  return batch;
}

std::vector<TrainExample> Batches::read(std::uint64_t item) const {
  std::vector<TrainExample> examples;
  const auto group = static_cast<std::uint64_t>(set_.group);
  for (std::uint64_t i = 0; i < group; ++i) examples.push_back(set_.example(item * group + i));
  return examples;
}

// Cuts what is too long, and counts.
Status Batches::check(TrainExample& example, std::uint64_t item, Batch& batch) const {
  if (example.tokens.size() != example.weights.size()) {
    return bad_input(fmt::format("training example {}: {} tokens but {} weights", item, example.tokens.size(), example.weights.size()));
  }
  const std::size_t length = std::min(example.tokens.size(), static_cast<std::size_t>(limit_));
  if (length < example.tokens.size()) ++batch.truncated;
  example.tokens.resize(length);
  example.weights.resize(length);
  for (std::size_t i = 0; i < length; ++i) {
    if (example.tokens[i] < 0 || example.tokens[i] >= vocab_) {
      return bad_input(fmt::format("training example {}: token id {} is not below the vocabulary's {}", item, example.tokens[i], vocab_),
                       "the tokenizer and the model do not belong together");
    }
    if (!std::isfinite(example.weights[i]) || example.weights[i] < 0.0F) {
      return bad_input(fmt::format("training example {}: weight {} of token {} is not a number from 0 up", item, example.weights[i], i));
    }
    if (i > 0 && example.weights[i] > 0.0F) ++batch.trained_tokens;
  }
  return {};
}

Result<Batch> Batches::build(Position from) {
  Batch batch;
  if (ordered_epoch_ != from.epoch) {
    order_ = shuffled(set_.count, options_.seed, from.epoch);
    ordered_epoch_ = from.epoch;
  }
  std::uint64_t index = from.index;
  for (; index < set_.count; ++index) {
    const bool held = held_epoch_ == from.epoch && held_index_ == index;
    std::vector<TrainExample> examples = held ? std::move(held_) : read(order_[index]);
    if (held) held_epoch_ = -1;
    std::int64_t tokens = 0;
    for (const TrainExample& example : examples) {
      tokens += static_cast<std::int64_t>(std::min(example.tokens.size(), static_cast<std::size_t>(limit_)));
    }
    if (!batch.examples.empty() && batch.tokens + tokens > options_.batch_tokens) {
      held_ = std::move(examples);
      held_index_ = index;
      held_epoch_ = from.epoch;
      break;
    }
    for (TrainExample& example : examples) {
      if (Status fine = check(example, order_[index], batch); !fine) return tl::unexpected(fine.error());
      batch.examples.push_back(std::move(example));
    }
    batch.items.push_back(order_[index]);
    batch.tokens += tokens;
  }
  batch.next = index < set_.count ? Position{from.epoch, index} : Position{from.epoch + 1, 0};
  return batch;
}

}  // namespace precept
