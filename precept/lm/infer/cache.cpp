#include "precept/lm/infer/cache.h"

#include <algorithm>

#include "precept/core/result.h"

namespace precept::infer {

BlockShape::BlockShape(const LlamaConfig& config) {
  keys = static_cast<std::size_t>(config.num_key_value_heads) * static_cast<std::size_t>(config.head_dim) *
         kBlockTokens;
  layer = 2 * keys;
  block = layer * static_cast<std::size_t>(config.num_hidden_layers);
}

Cache::Cache(const BlockShape& shape, std::int64_t bytes) {
  const std::size_t count = std::max<std::size_t>(
      static_cast<std::size_t>(std::max<std::int64_t>(bytes, 0)) / (shape.block * sizeof(float)), 1);
  memory_ = std::unique_ptr<float[]>(new float[count * shape.block]);  // not cleared: pages come with use
  blocks_.resize(count);
  free_.reserve(count);
  for (std::size_t i = count; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
}

std::size_t Cache::Hash::operator()(const History& h) const {
  std::uint64_t hash = h.before * 0x9E3779B97F4A7C15ULL;
  for (const std::int32_t token : h.tokens) {
    hash = (hash ^ static_cast<std::uint32_t>(token)) * 0xBF58476D1CE4E5B9ULL;
    hash ^= hash >> 29;
  }
  return static_cast<std::size_t>(hash);
}

void Cache::forget(Block& block) {
  if (block.serial == 0) return;
  known_.erase(block.history);
  block.serial = 0;
  block.ready = false;
}

std::uint32_t Cache::allocate() {
  PRECEPT_CHECK(available() > 0);
  std::uint32_t id = 0;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else {
    id = idle_.front();
    idle_.pop_front();
    forget(blocks_[id]);
  }
  blocks_[id].holders = 1;
  return id;
}

void Cache::hold(std::uint32_t block) {
  Block& b = blocks_[block];
  if (b.holders++ == 0) idle_.erase(b.idle);
}

void Cache::release(std::uint32_t block) {
  Block& b = blocks_[block];
  PRECEPT_CHECK(b.holders > 0);
  if (--b.holders > 0) return;
  if (b.serial != 0 && b.ready) {
    b.idle = idle_.insert(idle_.end(), block);
  } else {
    forget(b);
    free_.push_back(block);
  }
}

std::optional<std::uint32_t> Cache::find(std::uint64_t before, const Tokens& tokens) const {
  const auto found = known_.find(History{before, tokens});
  if (found == known_.end()) return std::nullopt;
  return found->second;
}

bool Cache::publish(std::uint32_t block, std::uint64_t before, const Tokens& tokens) {
  Block& b = blocks_[block];
  PRECEPT_CHECK(b.holders > 0 && b.serial == 0);
  const History history{before, tokens};
  if (!known_.emplace(history, block).second) return false;
  b.history = history;
  b.serial = next_serial_++;
  b.ready = false;
  return true;
}

}  // namespace precept::infer
