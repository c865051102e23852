#pragma once
// Bookkeeping of the paged key/value cache: blocks of kBlockTokens positions, reference counts, and reuse of what was
// computed for a beginning that several requests share, to the token. Where keys and values lie is the backend's business,
// who computes what is the engine's. One thread.

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "precept/lm/nn/row_kernels.h"

namespace precept::infer {

using nn::kBlockTokens;

class Cache {
 public:
  // At least one block.
  explicit Cache(std::int64_t blocks);

  int capacity() const { return static_cast<int>(blocks_.size()); }
  // Blocks that allocate() can give now: unused ones, and kept ones that nobody holds.
  int available() const { return static_cast<int>(blocks_.size() - unused_ + free_.size() + idle_.size()); }

  // A block with one holder; the one right after `after` if that can be, since memory that is read in one go is read faster. When
  // memory is short the blocks that were used least recently are dropped, some at a time, so that their neighbours come together.
  // Needs available() > 0.
  std::uint32_t allocate(std::optional<std::uint32_t> after = std::nullopt);
  void hold(std::uint32_t block);
  // A published block whose last holder leaves is kept for reuse.
  void release(std::uint32_t block);

  // The tree of all histories: a block is known by the block before it and its tokens, compared in full, so that two
  // histories are never taken for one another. Serials are never used twice. The first block of a history has root(n)
  // before it, where n tells whose keys and values they are: 0 the base, else an adapter's number. Histories with different
  // roots share nothing.
  static constexpr std::uint64_t root(std::uint64_t n) { return n == 0 ? 0 : (std::uint64_t{1} << 63) + n; }

  struct Match {
    std::uint32_t block = 0;
    int tokens = 0;  // leading tokens of the block that are the ones looked for, at least one
  };
  // The block after `before` that begins with most of these tokens (the first `count`, at most kBlockTokens), or nullopt.
  // Does not hold it.
  std::optional<Match> closest(std::uint64_t before, const std::int32_t* tokens, int count) const;
  // Makes a held block known that holds (or will hold) these tokens, ready or not. Only a whole block can come before
  // others. False: another block has this history already.
  bool publish(std::uint32_t block, std::uint64_t before, const std::int32_t* tokens, int count);
  std::uint64_t serial(std::uint32_t block) const { return blocks_[block].serial; }
  // Are the keys and values of a published block computed?
  bool ready(std::uint32_t block) const { return blocks_[block].ready; }
  void set_ready(std::uint32_t block) { blocks_[block].ready = true; }
  int holders(std::uint32_t block) const { return blocks_[block].holders; }

 private:
  // Ordered, so that histories with the most tokens in common are neighbours. Tokens beyond a block's are -1.
  struct History {
    std::uint64_t before = 0;
    std::array<std::int32_t, kBlockTokens> tokens{};
    auto operator<=>(const History&) const = default;
  };
  using Known = std::map<History, std::uint32_t>;
  struct Block {
    int holders = 0;
    bool ready = false;
    std::uint64_t serial = 0;  // 0: not published
    Known::iterator known{};
    std::list<std::uint32_t>::iterator idle{};
  };
  static History history(std::uint64_t before, const std::int32_t* tokens, int count);
  void forget(Block& block);
  void drop_some();

  std::vector<Block> blocks_;
  std::size_t unused_ = 0;         // no block from here on was ever given
  std::set<std::uint32_t> free_;   // of those before
  std::list<std::uint32_t> idle_;  // published, without holders; least recently used first
  Known known_;
  std::uint64_t next_serial_ = 1;
};

}  // namespace precept::infer
