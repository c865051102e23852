#pragma once
// The speed at which memory is read, to be measured between other work.

#include <cstddef>
#include <string>

#include "precept/lm/bench/bench.h"
#include "precept/lm/infer/matrix.h"
#include "precept/lm/infer/team.h"

namespace precept {

// Of the processor, or of another device (see EngineOptions). "fp32", or else bf16.
Result<Roof> measure_roof(const std::string& precision, int threads, const std::string& device);

int all_threads(int threads);  // 0: as many as there are processors

// Reads so many lanes, as wide as the processor can: narrow reads are bound by their number where cores are slow.
nn::Lane sum_of(const nn::Lane* from, std::size_t count);

class MemoryRoof {
 public:
  static constexpr std::size_t kBytes = std::size_t{512} << 20;  // more than caches hold
  explicit MemoryRoof(int threads);
  double read(std::size_t bytes);  // so many of it (at most all), once; the seconds that took

 private:
  infer::Team team_;
  infer::Lanes memory_;
};

}  // namespace precept
