#pragma once
// What computes for the engine: one step of the model over rows of several sequences, and what is wanted of them. The
// engine decides which rows; the backend owns weights and the memory of keys and values. On the CPU: CpuBackend.

#include <cstdint>
#include <optional>
#include <vector>

#include "precept/lm/infer/adapter.h"
#include "precept/model/model.h"

namespace precept::infer {

// Consecutive positions of one sequence, to be computed now.
struct Segment {
  const std::int32_t* tokens = nullptr;
  int first = 0;  // position of tokens[0]; all before it lie in the cache
  int rows = 0;
  const std::uint32_t* blocks = nullptr;  // positions 16 i .. 16 i + 15 lie in block blocks[i], up to the last row's
  const Adapter* adapter = nullptr;       // null: the base alone
};

// What to do with the logits after one row: pick the next token, or look up log-probabilities of given ones.
struct Wanted {
  int segment = 0, row = 0;
  const Sampling* sampling = nullptr;  // to pick one; null: look up
  double uniform = 0;                  // the draw, in [0, 1)
  const std::int32_t* targets = nullptr;
  int count = 0;  // of targets
};

struct Outcome {
  bool finite = true;                // false: the logits are not; nothing else is filled in
  std::int32_t picked = 0;
  float logprob = 0;                 // of it, at temperature 1
  std::vector<double> logprobs;      // of the targets
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Fills the cache for all segments, which are of different sequences and not empty, and answers what is wanted, in that
  // order. A row's results depend on its own sequence only, to the bit. At most max_rows() rows together.
  virtual std::vector<Outcome> run(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted) = 0;
  virtual int max_rows() const = 0;
  // Copies all of a block's keys and values.
  virtual void copy_block(std::uint32_t from, std::uint32_t to) = 0;
  virtual std::int64_t blocks() const = 0;  // that the cache has
};

}  // namespace precept::infer
