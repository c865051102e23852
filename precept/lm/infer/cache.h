#pragma once
// The paged key/value cache: blocks of kBlockTokens positions, reference counts, and reuse of blocks
// whose whole history of tokens is the same. Only bookkeeping and memory; who computes what is the
// engine's business. One thread at a time, except that distinct blocks may be filled at once.

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/lm/infer/kernels.h"

namespace precept::infer {

// Where a block's floats lie: per layer keys, then values (see Attention).
struct BlockShape {
  explicit BlockShape(const LlamaConfig& config);
  std::size_t keys = 0;   // floats of a layer's keys (and of its values)
  std::size_t layer = 0;  // floats of a layer
  std::size_t block = 0;  // floats of a block
};

class Cache {
 public:
  using Tokens = std::array<std::int32_t, kBlockTokens>;

  // At least one block. Memory is touched only as blocks come into use.
  Cache(const BlockShape& shape, std::int64_t bytes);

  float* data() { return memory_.get(); }
  int capacity() const { return static_cast<int>(blocks_.size()); }
  // Blocks that allocate() can give now: unused ones, and kept ones that nobody holds.
  int available() const { return static_cast<int>(free_.size() + idle_.size()); }

  // A block with one holder. Drops the block that was used least recently when memory is short.
  // Needs available() > 0.
  std::uint32_t allocate();
  void hold(std::uint32_t block);
  // A published block whose last holder leaves is kept for reuse.
  void release(std::uint32_t block);

  // A block is known by the block before it and its tokens, compared in full, so that two histories are never taken
  // for one another. Serials are never used twice. The first block of a history has root(n) before it, where n tells
  // whose keys and values they are: 0 the base, else an adapter's number. Histories with different roots share nothing.
  static constexpr std::uint64_t root(std::uint64_t n) { return n == 0 ? 0 : (std::uint64_t{1} << 63) + n; }
  // The block with this history, or nullopt. Does not hold it.
  std::optional<std::uint32_t> find(std::uint64_t before, const Tokens& tokens) const;
  // Makes a held block known, ready or not. False: another block has this history already.
  bool publish(std::uint32_t block, std::uint64_t before, const Tokens& tokens);
  std::uint64_t serial(std::uint32_t block) const { return blocks_[block].serial; }
  // Are the keys and values of a published block computed?
  bool ready(std::uint32_t block) const { return blocks_[block].ready; }
  void set_ready(std::uint32_t block) { blocks_[block].ready = true; }

 private:
  struct History {
    std::uint64_t before;
    Tokens tokens;
    bool operator==(const History&) const = default;
  };
  struct Hash {
    std::size_t operator()(const History& h) const;
  };
  struct Block {
    int holders = 0;
    bool ready = false;
    std::uint64_t serial = 0;  // 0: not published
    History history{};
    std::list<std::uint32_t>::iterator idle{};
  };
  void forget(Block& block);

  std::unique_ptr<float[]> memory_;
  std::vector<Block> blocks_;
  std::vector<std::uint32_t> free_;
  std::list<std::uint32_t> idle_;  // published, without holders; least recently used first
  std::unordered_map<History, std::uint32_t, Hash> known_;
  std::uint64_t next_serial_ = 1;
};

}  // namespace precept::infer
