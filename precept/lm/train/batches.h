#pragma once
// The order of items (examples, or groups of them that belong together) and their cut into optimiser steps.

#include <cstdint>
#include <future>
#include <vector>

#include "precept/lm/api.h"

namespace precept {

// Where a run stands in its data: the next item is number `index` of the order of `epoch`.
struct Position {
  std::int64_t epoch = 0;
  std::uint64_t index = 0;
};

struct Batch {
  std::vector<TrainExample> examples;
  std::vector<std::uint64_t> items;  // whose examples these are
  std::int64_t tokens = 0, trained_tokens = 0, truncated = 0;
  Position next;  // after this batch
};

// Each epoch is its own Philox shuffle of all items; a batch takes the next ones up to
// batch_tokens (at least one). Nothing but the current batch and one ahead is in memory, and the
// order's 4 bytes an example.
class Batches {
 public:
  // `set` must outlive this. `limit`: longest example in tokens; `vocab`: one more than the largest id.
  Batches(const TrainSet& set, const TrainOptions& options, int limit, int vocab, Position start);
  ~Batches();

  bool done() const;       // no batch is left
  Result<Batch> next();    // not when done

 private:
  Result<Batch> build(Position from);
  std::vector<TrainExample> read(std::uint64_t item) const;
  Status check(TrainExample& example, std::uint64_t item, Batch& batch) const;
  void look_ahead(Position from);

  const TrainSet& set_;
  const TrainOptions options_;
  int limit_, vocab_;
  Position position_;
  std::int64_t ordered_epoch_ = -1;
  std::vector<std::uint32_t> order_;
  std::vector<TrainExample> held_;  // read, but too long for the batch before
  std::uint64_t held_index_ = ~std::uint64_t{0};
  std::int64_t held_epoch_ = -1;
  std::future<Result<Batch>> ahead_;
};

// The order of `count` examples in an epoch.
std::vector<std::uint32_t> shuffled(std::uint64_t count, std::uint64_t seed, std::int64_t epoch);

}  // namespace precept
