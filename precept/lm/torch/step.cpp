#include "precept/lm/torch/step.h"

#include <algorithm>
#include <map>
#include <utility>

#include "precept/core/result.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;

constexpr int kPieceRows = 128;  // of one sequence, computed side by side: beyond, too much of the square is masked

int power_of_two(int n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

// Segments so that those with one adapter are neighbours, in the order in which adapters first appear.
std::vector<int> by_adapter(const std::vector<Segment>& segments) {
  std::vector<std::pair<const Adapter*, int>> seen;
  std::vector<std::pair<int, int>> keyed;
  for (int i = 0; i < static_cast<int>(segments.size()); ++i) {
    const Adapter* adapter = segments[static_cast<std::size_t>(i)].adapter;
    auto known = std::find_if(seen.begin(), seen.end(), [&](const auto& each) { return each.first == adapter; });
    if (known == seen.end()) known = seen.insert(seen.end(), {adapter, static_cast<int>(seen.size())});
    keyed.emplace_back(known->second, i);
  }
  std::sort(keyed.begin(), keyed.end());
  std::vector<int> order;
  for (const auto& each : keyed) order.push_back(each.second);
  return order;
}

}  // namespace

StepPlanner::StepPlanner(std::vector<int> windows, std::uint32_t spare, StepLimits limits)
    : windows_(std::move(windows)), spare_(spare), limits_(limits) {}

int StepPlanner::bucket(int n) {
  if (n <= 8) return std::max(n, 1);
  const int step = power_of_two(n) / 8;
  return (n + step - 1) / step * step;
}

int StepPlanner::sequence_bucket(int n) { return n <= 64 ? power_of_two(n) : (n + 31) / 32 * 32; }

StepPlan StepPlanner::plan(const std::vector<Segment>& segments) {
  StepPlan plan;
  const std::vector<int> order = by_adapter(segments);
  if (!plan_decode(plan, segments, order)) {
    int rows = 0;
    for (const Segment& segment : segments) rows += segment.rows;
    PRECEPT_CHECK(rows <= limits_.rows);
    lay_out_rows(plan, segments, order, rows);
    for (const int window : windows_) plan.attention.push_back(plan_window(plan, segments, order, window));
  }
  plan.fixed = plan.ints.size();
  find_stale(plan, segments);
  return plan;
}

void StepPlanner::lay_out_rows(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<int>& order, int padded) const {
  const auto rows = static_cast<std::size_t>(padded);
  plan.rows = padded;
  plan.positions = rows;
  plan.slots = 2 * rows;
  plan.ints.assign(3 * rows, 0);
  plan.first_row.resize(segments.size());
  int row = 0;
  for (const int i : order) {
    const Segment& s = segments[static_cast<std::size_t>(i)];
    plan.first_row[static_cast<std::size_t>(i)] = row;
    if (plan.adapters.empty() || plan.adapters.back().adapter != s.adapter) plan.adapters.push_back({s.adapter, row, 0});
    plan.adapters.back().rows += s.rows;
    for (int r = 0; r < s.rows; ++r, ++row) {
      const int position = s.first + r;
      const auto at = static_cast<std::size_t>(row);
      plan.ints[at] = s.tokens[r];
      plan.ints[plan.positions + at] = position;
      plan.ints[plan.slots + at] = std::int64_t{s.blocks[position / kBlockTokens]} * kBlockTokens + position % kBlockTokens;
    }
  }
  for (; row < padded; ++row) plan.ints[plan.slots + static_cast<std::size_t>(row)] = std::int64_t{spare_} * kBlockTokens;
  plan.adapters.erase(std::remove_if(plan.adapters.begin(), plan.adapters.end(), [](const AdapterRun& run) { return run.adapter == nullptr; }),
                      plan.adapters.end());
}

StepPlanner::Piece StepPlanner::piece(const Segment& segment, int index, int from, int rows, int window) const {
  const int first = segment.first + from;
  const int start = window == 0 ? 0 : std::max(0, first - window + 1) / kBlockTokens * kBlockTokens;
  return {index, from, rows, start, (first + rows - 1 - start) / kBlockTokens + 1};
}

// A step that computes one row of each sequence has one batch, with all padded to the longest, unless that would more than
// double its keys: then their lengths differ so much that batches of like lengths are better.
bool StepPlanner::plan_decode(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<int>& order) const {
  if (std::any_of(segments.begin(), segments.end(), [](const Segment& s) { return s.rows != 1; })) return false;
  const int padded = sequence_bucket(static_cast<int>(segments.size()));
  std::vector<std::vector<Piece>> pieces;
  std::vector<int> blocks;
  for (const int window : windows_) {
    std::vector<Piece>& own = pieces.emplace_back();
    int most = 0;
    std::int64_t needed = 0;
    for (const int i : order) {
      own.push_back(piece(segments[static_cast<std::size_t>(i)], i, 0, 1, window));
      most = std::max(most, own.back().blocks);
      needed += own.back().blocks;
    }
    blocks.push_back(bucket(most));
    const std::int64_t taken = std::int64_t{padded} * blocks.back();
    if (taken > 2 * needed + 64 || taken * kBlockTokens > std::min(limits_.keys, limits_.scores)) return false;
  }
  lay_out_rows(plan, segments, order, padded);
  plan.shape = {padded};
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    AttentionPlan attention;
    attention.in_order = true;
    attention.batches.push_back(lay_out(plan, segments, pieces[w], padded, 1, blocks[w]));
    plan.attention.push_back(std::move(attention));
    plan.shape.push_back(blocks[w]);
  }
  plan.decode = true;
  return true;
}

// Pieces with about as many rows and keys go together.
AttentionPlan StepPlanner::plan_window(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<int>& order, int window) const {
  std::map<std::pair<int, int>, std::vector<Piece>> alike;
  for (const int i : order) {
    const Segment& s = segments[static_cast<std::size_t>(i)];
    for (int from = 0; from < s.rows; from += kPieceRows) {
      const Piece one = piece(s, i, from, std::min(kPieceRows, s.rows - from), window);
      alike[{power_of_two(one.rows), bucket(one.blocks)}].push_back(one);
    }
  }
  AttentionPlan attention;
  std::vector<std::int64_t> back(static_cast<std::size_t>(plan.rows));
  std::int64_t at = 0;
  for (const auto& [size, pieces] : alike) {
    const auto [rows, blocks] = size;
    const std::int64_t keys = std::int64_t{blocks} * kBlockTokens;
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(1, std::min(limits_.keys / keys, limits_.scores / (keys * rows))));
    for (std::size_t from = 0; from < pieces.size(); from += most) {
      const auto begin = pieces.begin() + static_cast<std::ptrdiff_t>(from);
      const std::vector<Piece> some(begin, begin + static_cast<std::ptrdiff_t>(std::min(most, pieces.size() - from)));
      attention.batches.push_back(lay_out(plan, segments, some, static_cast<int>(some.size()), rows, blocks));
      for (const Piece& one : some) {
        const int row = plan.first_row[static_cast<std::size_t>(one.segment)] + one.from;
        for (int r = 0; r < one.rows; ++r) back[static_cast<std::size_t>(row + r)] = at + r;
        at += rows;
      }
    }
  }
  attention.back = plan.ints.size();
  plan.ints.insert(plan.ints.end(), back.begin(), back.end());
  return attention;
}

AttentionBatch StepPlanner::lay_out(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<Piece>& pieces, int count, int rows,
                                    int blocks) const {
  AttentionBatch batch{count, rows, blocks};
  const auto n = static_cast<std::size_t>(count), width = static_cast<std::size_t>(blocks);
  batch.row_of = plan.ints.size();
  batch.first = batch.row_of + n * static_cast<std::size_t>(rows);
  batch.start = batch.first + n;
  batch.table = batch.start + n;
  plan.ints.resize(batch.table + n * width, 0);
  std::fill_n(plan.ints.begin() + static_cast<std::ptrdiff_t>(batch.table), n * width, spare_);
  for (std::size_t p = 0; p < pieces.size(); ++p) {
    const Piece& one = pieces[p];
    const Segment& s = segments[static_cast<std::size_t>(one.segment)];
    const int row = plan.first_row[static_cast<std::size_t>(one.segment)] + one.from;
    for (int r = 0; r < one.rows; ++r) plan.ints[batch.row_of + p * static_cast<std::size_t>(rows) + static_cast<std::size_t>(r)] = row + r;
    plan.ints[batch.first + p] = s.first + one.from;
    plan.ints[batch.start + p] = one.start;
    const std::uint32_t* table = s.blocks + one.start / kBlockTokens;
    std::copy(table, table + one.blocks, plan.ints.begin() + static_cast<std::ptrdiff_t>(batch.table + p * width));
  }
  return batch;
}

// Positions of a sequence come in order, so whatever lies behind its last row in that row's block is an earlier tenant's, or
// was copied along. It is masked, but a weight of 0 times a value that is not finite is not 0: such a value from a model with
// a broken adapter would reach others.
void StepPlanner::find_stale(StepPlan& plan, const std::vector<Segment>& segments) {
  plan.stale = plan.ints.size();
  for (const Segment& s : segments) {
    const int last = s.first + s.rows - 1;
    const std::uint32_t block = s.blocks[last / kBlockTokens];
    const bool begun = s.first <= last / kBlockTokens * kBlockTokens;
    if (copied_.erase(s.blocks[s.first / kBlockTokens]) == 0 && !begun) continue;
    for (int slot = last % kBlockTokens + 1; slot < kBlockTokens; ++slot) plan.ints.push_back(std::int64_t{block} * kBlockTokens + slot);
  }
  plan.stale_count = static_cast<int>(plan.ints.size() - plan.stale);
}

}  // namespace precept::infer
