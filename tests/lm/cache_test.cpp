#include "precept/lm/infer/cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace precept::infer {
namespace {

std::vector<std::uint32_t> take(Cache& cache, int count) {
  std::vector<std::uint32_t> blocks;
  for (int i = 0; i < count; ++i) blocks.push_back(cache.allocate(blocks.empty() ? std::nullopt : std::optional(blocks.back())));
  return blocks;
}

// As an engine does it: the last block first, so that what is dropped first is the end of a history.
void leave(Cache& cache, const std::vector<std::uint32_t>& blocks) {
  for (std::size_t i = blocks.size(); i-- > 0;) cache.release(blocks[i]);
}

// A history of whole blocks that nobody else has.
void keep(Cache& cache, const std::vector<std::uint32_t>& blocks, std::int32_t token) {
  std::uint64_t before = Cache::root(0);
  for (const std::uint32_t block : blocks) {
    std::array<std::int32_t, kBlockTokens> tokens{};
    tokens.fill(token);
    ASSERT_TRUE(cache.publish(block, before, tokens.data(), kBlockTokens));
    cache.set_ready(block);
    before = cache.serial(block);
  }
}

int neighbours(const std::vector<std::uint32_t>& blocks) {
  int count = 0;
  for (std::size_t i = 1; i < blocks.size(); ++i) count += blocks[i] == blocks[i - 1] + 1;
  return count;
}

TEST(Cache, GivesEveryBlockOnce) {
  Cache cache(100);
  EXPECT_EQ(cache.available(), 100);
  const auto first = take(cache, 60), second = take(cache, 40);
  EXPECT_EQ(cache.available(), 0);
  std::set<std::uint32_t> all(first.begin(), first.end());
  all.insert(second.begin(), second.end());
  EXPECT_EQ(all.size(), 100U);
  EXPECT_EQ(*all.rbegin(), 99U);
  leave(cache, first);
  EXPECT_EQ(cache.available(), 60);
  const auto again = take(cache, 60);
  EXPECT_EQ(std::set<std::uint32_t>(again.begin(), again.end()), std::set<std::uint32_t>(first.begin(), first.end()));
}

// Long sequences one after another in a cache that is full of what others left: their blocks stay side by side.
TEST(Cache, BlocksOfASequenceStayNeighbours) {
  Cache cache(6400);
  std::vector<std::uint32_t> blocks;
  for (int round = 0; round < 100; ++round) {
    blocks = take(cache, 320);
    keep(cache, blocks, round);
    const auto other = take(cache, 7);  // goes without having been kept
    leave(cache, other);
    leave(cache, blocks);
    EXPECT_GE(neighbours(blocks), 320 - 1 - 320 / 64 - 8) << round;
  }
}

// A small cache drops what it must, and no more: the rest of the history is still found.
TEST(Cache, DropsTheEndOfTheOldestHistoryFirst) {
  Cache cache(8);
  const auto old = take(cache, 4), young = take(cache, 4);
  keep(cache, old, 1);
  keep(cache, young, 2);
  leave(cache, old);
  leave(cache, young);
  const auto taken = take(cache, 2);
  EXPECT_EQ(std::set<std::uint32_t>(taken.begin(), taken.end()), (std::set<std::uint32_t>{old[2], old[3]}));
  std::array<std::int32_t, kBlockTokens> tokens{};
  tokens.fill(1);
  EXPECT_TRUE(cache.closest(Cache::root(0), tokens.data(), kBlockTokens).has_value());
  EXPECT_NE(cache.serial(old[1]), 0U);
  EXPECT_EQ(cache.serial(old[2]), 0U);
}

}  // namespace
}  // namespace precept::infer
