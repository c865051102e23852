#pragma once
// The speed at which memory is read, to be measured between other work.

#include <cstddef>

#include "precept/lm/bench/bench.h"
#include "precept/lm/infer/matrix.h"
#include "precept/lm/infer/team.h"

namespace precept {

int all_threads(int threads);  // 0: as many as there are processors

class MemoryRoof {
 public:
  static constexpr std::size_t kBytes = std::size_t{512} << 20;  // more than caches hold
  explicit MemoryRoof(int threads);
  double read();  // all of it, once; the seconds that took

 private:
  infer::Team team_;
  infer::Lanes memory_;
};

}  // namespace precept
