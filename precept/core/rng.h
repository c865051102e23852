#pragma once
// Counter-based random numbers. Every draw is a pure function of (seed, item, step, round, index),
// so results do not depend on batch size, order, threads, or on where a run was interrupted.
// Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Philox4x32-10).

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace precept {

// Names one stream of random numbers. `item` is hash64(item id); `step` and `round` as in the loop.
struct RngKey {
  std::uint64_t seed = 0;
  std::uint64_t item = 0;
  std::uint32_t step = 0;
  std::uint32_t round = 0;
};

// The Philox4x32-10 block function; exposed for its known-answer test.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

// FNV-1a, 64 bits: stable across platforms and versions, for keys and splits (not for security).
std::uint64_t hash64(std::string_view text);

class Rng {
 public:
  explicit Rng(const RngKey& key);

  std::uint64_t next();                   // uniform over 64 bits
  double uniform();                       // [0, 1), 53 bits
  std::uint64_t below(std::uint64_t n);   // uniform over 0..n-1, n >= 1, without modulo bias
  bool chance(double p) { return uniform() < p; }
  double normal();                        // standard normal (Box-Muller)

  // A uniform element of a non-empty container.
  template <class Container>
  const auto& pick(const Container& items) {
    return items[static_cast<std::size_t>(below(items.size()))];
  }

 private:
  std::array<std::uint32_t, 2> key_;
  std::array<std::uint32_t, 4> counter_;
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

}  // namespace precept
