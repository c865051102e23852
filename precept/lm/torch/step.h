#pragma once
// One step laid out for a device, without torch: which rows are computed, where their keys and values go, and how attention
// pads its work. All of it is one array of integers, so that it reaches the device in one copy.

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "precept/lm/infer/backend.h"

namespace precept::infer {

// What attention may take at once.
struct StepLimits {
  int rows = 0;             // of a step
  std::int64_t keys = 0;    // positions gathered by a batch
  std::int64_t scores = 0;  // rows times keys of a batch
};

// Attention of some pieces of sequences, each padded to `rows` rows and `blocks` blocks of keys. Offsets are into
// StepPlan::ints; padding repeats row 0 and sees the spare block.
struct AttentionBatch {
  int count = 0, rows = 0, blocks = 0;
  std::size_t row_of = 0;  // [count, rows]: rows of the step
  std::size_t first = 0;   // [count]: position of a piece's first row
  std::size_t start = 0;   // [count]: position of its first key, a multiple of kBlockTokens
  std::size_t table = 0;   // [count, blocks]
};

// Attention of all rows under one window.
struct AttentionPlan {
  std::vector<AttentionBatch> batches;
  bool in_order = false;  // one batch, whose row i is the step's row i
  std::size_t back = 0;   // [rows]: where the row's result lies among those of the batches, one after the other
};

// Rows with one adapter, which are neighbours.
struct AdapterRun {
  const Adapter* adapter = nullptr;
  int from = 0, rows = 0;
};

struct StepPlan {
  std::vector<std::int64_t> ints;
  int rows = 0;                                    // with padding
  std::size_t tokens = 0, positions = 0, slots = 0;  // [rows]; slot: block times kBlockTokens, plus the place in the block
  std::vector<AttentionPlan> attention;            // by window
  std::vector<AdapterRun> adapters;
  std::vector<int> first_row;                      // of each segment
  // One row of each sequence, padded so that few shapes occur: what the forward pass reads are the first `fixed` integers,
  // laid out by `shape` alone.
  bool decode = false;
  std::size_t fixed = 0;
  std::vector<int> shape;
  std::size_t stale = 0;  // [stale_count]: slots that follow a last row in its block and may hold another sequence's values
  int stale_count = 0;
};

class StepPlanner {
 public:
  // `windows`: those of the layers, each once (0: none). Block `spare` is nobody's.
  StepPlanner(std::vector<int> windows, std::uint32_t spare, StepLimits limits);

  StepPlan plan(const std::vector<Segment>& segments);
  // A block was copied as a whole, so what lies behind its sequence's rows is stale.
  void copied(std::uint32_t block) { copied_.insert(block); }

  // The least of 1, 2, ..., 8, 10, 12, 14, 16, 20, ... that is at least n: at most a quarter more.
  static int bucket(int n);
  // Of sequences that decode together: powers of two up to 64, then multiples of 32.
  static int sequence_bucket(int n);

 private:
  struct Piece {
    int segment, from, rows;
    int start, blocks;  // of its keys
  };
  Piece piece(const Segment& segment, int index, int from, int rows, int window) const;
  void lay_out_rows(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<int>& order, int padded) const;
  bool plan_decode(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<int>& order) const;
  AttentionPlan plan_window(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<int>& order, int window) const;
  AttentionBatch lay_out(StepPlan& plan, const std::vector<Segment>& segments, const std::vector<Piece>& pieces, int count, int rows, int blocks) const;
  void find_stale(StepPlan& plan, const std::vector<Segment>& segments);

  std::vector<int> windows_;
  std::uint32_t spare_;
  StepLimits limits_;
  std::set<std::uint32_t> copied_;
};

}  // namespace precept::infer
