#pragma once
// Several processes that train one model, each on its lanes of every batch (data-parallel). Each holds all weights and moments and
// makes the same steps; what is exchanged are the lanes' gradients, in a ring over TCP, added in the lanes' order: the sums have
// the bits that one process gives them. A process that dies closes its connections, and the others fail with one line.

#include <array>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "precept/core/result.h"
#include "precept/lm/api.h"
#include "precept/lm/train/lane_sums.h"

namespace precept {

// Thrown inside lm/ when another process is gone.
struct WorldError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class World {
 public:
  // Waits until all processes are there, up to `seconds`. `key` says what is being done: processes with another one are refused.
  static Result<std::unique_ptr<World>> join(const WorldOptions& options, const std::string& key, int seconds = 120);
  ~World();

  int rank() const { return options_.rank; }
  int size() const { return options_.size; }
  // First lane of a process, and one past its last.
  static std::pair<int, int> lanes(int rank, int size, int count) { return {rank * count / size, (rank + 1) * count / size}; }

  // What every process gives, by rank.
  std::vector<std::string> gather(const std::string& mine);
  // Makes the sum of all lanes of all processes in sums.sum(), on each. Rank 0's lanes are folded already, the others' lie apart.
  void add_in_order(LaneSums& sums, int lanes);

 private:
  explicit World(const WorldOptions& options) : options_(options) {}
  Status meet(const std::string& key, int seconds);
  void send(const void* bytes, std::size_t count);
  void receive(void* bytes, std::size_t count);
  void exchange(const char* out, std::size_t out_count, char* in, std::size_t in_count);
  [[noreturn]] void lost(bool next) const;

  WorldOptions options_;
  int next_ = -1, previous_ = -1;  // sockets
};

}  // namespace precept
