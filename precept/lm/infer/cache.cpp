#include "precept/lm/infer/cache.h"

#include <algorithm>

#include "precept/core/result.h"

namespace precept::infer {

Cache::Cache(std::int64_t blocks) {
  blocks_.resize(static_cast<std::size_t>(std::max<std::int64_t>(blocks, 1)));
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

void Cache::drop_some() {
  constexpr std::size_t kTogether = 64;
  // Of a small cache one at a time: what is dropped early is computed again if somebody asks for it after all.
  const std::size_t most = std::clamp<std::size_t>(blocks_.size() / kTogether, 1, kTogether);
  for (std::size_t i = 0; i < most && !idle_.empty(); ++i) {
    const std::uint32_t id = idle_.front();
    idle_.pop_front();
    forget(blocks_[id]);
    free_.insert(id);
  }
}

std::uint32_t Cache::allocate(std::optional<std::uint32_t> after) {
  PRECEPT_CHECK(available() > 0);
  if (free_.empty() && unused_ == blocks_.size()) drop_some();
  const std::uint32_t wanted = after ? *after + 1 : 0;
  auto found = free_.lower_bound(wanted);
  std::uint32_t id = 0;
  if (free_.empty() || (after && wanted == unused_ && unused_ < blocks_.size())) {
    id = static_cast<std::uint32_t>(unused_++);
  } else {
    if (found == free_.end()) found = free_.begin();
    id = *found;
    free_.erase(found);
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
    free_.insert(block);
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
