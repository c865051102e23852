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

Result<Batch> Batches::build(Position from) {
  Batch batch;
  if (ordered_epoch_ != from.epoch) {
    order_ = shuffled(set_.count, options_.seed, from.epoch);
    ordered_epoch_ = from.epoch;
  }
  std::uint64_t index = from.index;
  for (; index < set_.count; ++index) {
    TrainExample example;
    if (held_epoch_ == from.epoch && held_index_ == index) {
      example = std::move(held_);
      held_epoch_ = -1;
    } else {
      example = set_.example(order_[index]);
    }
    if (example.tokens.size() != example.weights.size()) {
      return bad_input(fmt::format("training example {}: {} tokens but {} weights", order_[index],
                                   example.tokens.size(), example.weights.size()));
    }
    const std::size_t length = std::min(example.tokens.size(), static_cast<std::size_t>(limit_));
    if (!batch.examples.empty() &&
        batch.tokens + static_cast<std::int64_t>(length) > options_.batch_tokens) {
      held_ = std::move(example);
      held_index_ = index;
      held_epoch_ = from.epoch;
      break;
    }
    if (length < example.tokens.size()) ++batch.truncated;
    example.tokens.resize(length);
    example.weights.resize(length);
    for (std::size_t i = 0; i < length; ++i) {
      if (example.tokens[i] < 0 || example.tokens[i] >= vocab_) {
        return bad_input(fmt::format("training example {}: token id {} is not below the vocabulary's {}",
                                     order_[index], example.tokens[i], vocab_),
                         "the tokenizer and the model do not belong together");
      }
      if (!std::isfinite(example.weights[i]) || example.weights[i] < 0.0F) {
        return bad_input(fmt::format("training example {}: weight {} of token {} is not a number from 0 up",
                                     order_[index], example.weights[i], i));
      }
      if (i > 0 && example.weights[i] > 0.0F) ++batch.trained_tokens;
    }
    batch.tokens += static_cast<std::int64_t>(length);
    batch.examples.push_back(std::move(example));
  }
  batch.next = index < set_.count ? Position{from.epoch, index} : Position{from.epoch + 1, 0};
  return batch;
}

}  // namespace precept
