// How a step is laid out, by counting: every key that a row sees is in its batch, once, and nothing else is read back.

#include <gtest/gtest.h>

#include <map>

#include "precept/core/rng.h"
#include "precept/lm/nn/row_kernels.h"
#include "precept/lm/torch/step.h"
#include "tests/lm/lora_support.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;
constexpr std::uint32_t kSpare = 1000;

struct Sequence {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint32_t> blocks;
  int first = 0;
  const Adapter* adapter = nullptr;
};

std::vector<Segment> segments_of(const std::vector<Sequence>& sequences) {
  std::vector<Segment> segments;
  for (const Sequence& s : sequences) segments.push_back({s.tokens.data(), s.first, static_cast<int>(s.tokens.size()), s.blocks.data(), s.adapter});
  return segments;
}

// Sequence i has blocks 100 i + 7, 100 i + 8, ...
Sequence sequence(int i, int first, int rows) {
  Sequence s;
  s.first = first;
  for (int r = 0; r < rows; ++r) s.tokens.push_back(i * 1000 + r);
  for (int b = 0; b * kBlockTokens < first + rows; ++b) s.blocks.push_back(static_cast<std::uint32_t>(100 * i + 7 + b));
  return s;
}

std::int64_t at(const StepPlan& plan, std::size_t from, std::size_t i) { return plan.ints[from + i]; }

void expect_complete(const StepPlan& plan, const std::vector<Sequence>& sequences, const std::vector<int>& windows, const StepLimits& limits) {
  ASSERT_EQ(plan.attention.size(), windows.size());
  for (std::size_t w = 0; w < windows.size(); ++w) {
    // Where each padded row's results lie, and which batch and piece they are of.
    std::map<std::int64_t, std::pair<const AttentionBatch*, std::pair<int, int>>> places;
    std::int64_t next = 0;
    for (const AttentionBatch& batch : plan.attention[w].batches) {
      const std::int64_t keys = std::int64_t{batch.count} * batch.blocks * kBlockTokens;
      EXPECT_TRUE(batch.count == 1 || (keys <= limits.keys && keys * batch.rows <= limits.scores));
      for (int p = 0; p < batch.count; ++p) {
        for (int r = 0; r < batch.rows; ++r) places[next++] = {&batch, {p, r}};
      }
    }
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      const Sequence& s = sequences[i];
      for (int r = 0; r < static_cast<int>(s.tokens.size()); ++r) {
        const auto row = static_cast<std::size_t>(plan.first_row[i] + r);
        const int position = s.first + r;
        EXPECT_EQ(at(plan, plan.tokens, row), s.tokens[static_cast<std::size_t>(r)]);
        EXPECT_EQ(at(plan, plan.positions, row), position);
        EXPECT_EQ(at(plan, plan.slots, row), s.blocks[static_cast<std::size_t>(position / kBlockTokens)] * kBlockTokens + position % kBlockTokens);
        const std::int64_t place = plan.attention[w].in_order ? static_cast<std::int64_t>(row) : at(plan, plan.attention[w].back, row);
        const auto [batch, where] = places.at(place);
        const auto p = static_cast<std::size_t>(where.first), t = static_cast<std::size_t>(where.second);
        EXPECT_EQ(at(plan, batch->row_of, p * static_cast<std::size_t>(batch->rows) + t), static_cast<std::int64_t>(row));
        EXPECT_EQ(at(plan, batch->first, p) + where.second, position);
        const int least = windows[w] == 0 ? 0 : std::max(0, position - windows[w] + 1);
        const auto start = static_cast<int>(at(plan, batch->start, p));
        EXPECT_EQ(start % kBlockTokens, 0);
        EXPECT_LE(start, least);
        EXPECT_GE(start + batch->blocks * kBlockTokens, position + 1);
        for (int key = least; key <= position; ++key) {
          const auto column = p * static_cast<std::size_t>(batch->blocks) + static_cast<std::size_t>((key - start) / kBlockTokens);
          ASSERT_EQ(at(plan, batch->table, column), s.blocks[static_cast<std::size_t>(key / kBlockTokens)]);
        }
      }
    }
  }
}

TEST(StepPlanner, BucketsWasteAQuarterAtMost) {
  for (int n = 1; n < 3000; ++n) {
    EXPECT_GE(StepPlanner::bucket(n), n);
    EXPECT_LE(StepPlanner::bucket(n), n + n / 4);
    EXPECT_EQ(StepPlanner::bucket(StepPlanner::bucket(n)), StepPlanner::bucket(n));
    EXPECT_GE(StepPlanner::sequence_bucket(n), n);
  }
  EXPECT_EQ(StepPlanner::bucket(17), 20);
  EXPECT_EQ(StepPlanner::sequence_bucket(33), 64);
  EXPECT_EQ(StepPlanner::sequence_bucket(65), 96);
}

TEST(StepPlanner, PromptsAndAnswersOfAnyLength) {
  const std::vector<int> windows = {0, 23};
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng({seed, 1, 2, 3});
    const StepLimits limits{4096, 40 * kBlockTokens, seed % 2 == 0 ? 1 << 20 : 1 << 12};
    StepPlanner planner(windows, kSpare, limits);
    std::vector<Sequence> sequences;
    const int count = 1 + static_cast<int>(rng.below(9));
    for (int i = 0; i < count; ++i) {
      sequences.push_back(sequence(i, static_cast<int>(rng.below(200)), seed % 3 == 0 ? 1 : 1 + static_cast<int>(rng.below(300))));
    }
    expect_complete(planner.plan(segments_of(sequences)), sequences, windows, limits);
  }
}

TEST(StepPlanner, AnswersOfLikeLengthsShareOneShape) {
  const StepLimits limits{4096, 1 << 20, 1 << 20};
  StepPlanner planner({0}, kSpare, limits);
  std::vector<Sequence> sequences;
  for (int i = 0; i < 11; ++i) sequences.push_back(sequence(i, 130 + i, 1));
  const StepPlan one = planner.plan(segments_of(sequences));
  EXPECT_TRUE(one.decode);
  EXPECT_EQ(one.shape, (std::vector<int>{16, 10}));
  EXPECT_EQ(one.rows, 16);
  EXPECT_EQ(one.fixed, std::size_t{3 * 16 + 3 * 16 + 16 * 10});
  EXPECT_EQ(at(one, one.slots, 15), kSpare * kBlockTokens);
  expect_complete(one, sequences, {0}, limits);
  sequences.push_back(sequence(11, 140, 1));
  const StepPlan two = planner.plan(segments_of(sequences));
  EXPECT_EQ(two.shape, one.shape);
  EXPECT_EQ(two.fixed, one.fixed);
  // One that is much longer would make all others pay.
  sequences.push_back(sequence(12, 9000, 1));
  const StepPlan apart = planner.plan(segments_of(sequences));
  EXPECT_FALSE(apart.decode);
  EXPECT_EQ(apart.attention[0].batches.size(), 2U);  // of 9 and of 563 blocks
  expect_complete(apart, sequences, {0}, limits);
}

TEST(StepPlanner, StaleSlotsAreThoseBehindAFreshOrCopiedBlock) {
  StepPlanner planner({0}, kSpare, {4096, 1 << 20, 1 << 20});
  const auto stale = [&](const Sequence& s) {
    const StepPlan plan = planner.plan(segments_of({s}));
    return std::vector<std::int64_t>(plan.ints.begin() + static_cast<std::ptrdiff_t>(plan.stale), plan.ints.end());
  };
  const Sequence fresh = sequence(0, 0, 14);  // block 7
  EXPECT_EQ(stale(fresh), (std::vector<std::int64_t>{7 * 16 + 14, 7 * 16 + 15}));
  EXPECT_TRUE(stale(sequence(0, 14, 1)).empty());
  EXPECT_EQ(stale(sequence(0, 14, 17)), (std::vector<std::int64_t>{8 * 16 + 15}));
  EXPECT_TRUE(stale(sequence(0, 0, 32)).empty());
  planner.copied(8);
  EXPECT_EQ(stale(sequence(0, 20, 11)), (std::vector<std::int64_t>{8 * 16 + 15}));
  EXPECT_TRUE(stale(sequence(0, 20, 11)).empty()) << "once";
}

TEST(StepPlanner, RowsOfAnAdapterAreNeighbours) {
  LlamaConfig config;
  config.num_hidden_layers = 1;
  config.num_attention_heads = config.num_key_value_heads = 1;
  config.hidden_size = config.intermediate_size = config.head_dim = config.vocab_size = 4;
  const auto targets = lora_targets(lora_test::all_targets(1, 1), config);
  ASSERT_TRUE(targets.has_value());
  const Adapter a("a", "", std::make_unique<Adapter::Loaded>(config, *targets)), b("b", "", std::make_unique<Adapter::Loaded>(config, *targets));
  std::vector<Sequence> sequences;
  for (int i = 0; i < 6; ++i) {
    sequences.push_back(sequence(i, 3, 1 + i));
    sequences.back().adapter = i % 3 == 0 ? &b : i % 3 == 1 ? nullptr : &a;
  }
  const StepLimits limits{4096, 1 << 20, 1 << 20};
  StepPlanner planner({0}, kSpare, limits);
  const StepPlan plan = planner.plan(segments_of(sequences));
  ASSERT_EQ(plan.adapters.size(), 2U);
  EXPECT_EQ(plan.adapters[0].adapter, &b);
  EXPECT_EQ(plan.adapters[0].from, 0);
  EXPECT_EQ(plan.adapters[0].rows, 1 + 4);
  EXPECT_EQ(plan.adapters[1].adapter, &a);
  EXPECT_EQ(plan.adapters[1].from, 5 + 2 + 5);
  EXPECT_EQ(plan.adapters[1].rows, 3 + 6);
  expect_complete(plan, sequences, {0}, limits);
}

}  // namespace
}  // namespace precept::infer
