#include "precept/lm/infer/cache.h"

#include <algorithm>

#include "precept/core/result.h"

namespace precept::infer {

Cache::Cache(std::int64_t blocks) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(blocks, 1));
  blocks_.resize(count);
  free_.reserve(count);
  for (std::size_t i = count; i-- > 0;) free_.push_back(static_cast<std::uint32_t>(i));
}

Cache::History Cache::history(std::uint64_t before, const std::int32_t* tokens, int count) {
  History h;
  h.before = before;
  h.tokens.fill(-1);
  std::copy_n(tokens, count, h.tokens.begin());
  return h;
}

void Cache::forget(Block& block) {
  if (block.serial == 0) return;
  known_.erase(block.known);
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

std::optional<Cache::Match> Cache::closest(std::uint64_t before, const std::int32_t* tokens, int count) const {
  const History wanted = history(before, tokens, count);
  std::optional<Match> best;
  const auto consider = [&](Known::const_iterator at) {
    if (at->first.before != before) return;
    int same = 0;
    while (same < count && at->first.tokens[static_cast<std::size_t>(same)] == tokens[same]) ++same;
    if (same > (best ? best->tokens : 0)) best = Match{at->second, same};
  };
  // What has most in common with it in an ordered list stands right before or after its place.
  const auto after = known_.lower_bound(wanted);
  if (after != known_.end()) consider(after);
  if (after != known_.begin()) consider(std::prev(after));
  return best;
}

bool Cache::publish(std::uint32_t block, std::uint64_t before, const std::int32_t* tokens, int count) {
  Block& b = blocks_[block];
  PRECEPT_CHECK(b.holders > 0 && b.serial == 0);
  const auto [at, fresh] = known_.emplace(history(before, tokens, count), block);
  if (!fresh) return false;
  b.known = at;
  b.serial = next_serial_++;
  b.ready = false;
  return true;
}

}  // namespace precept::infer
