#pragma once
// Counts what requests could share if memory had no end: see SharedTokens.

#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "precept/lm/api.h"

namespace precept::infer {

class Sharing {
 public:
  explicit Sharing(std::shared_ptr<SharedTokens> counts) : counts_(std::move(counts)) {}

  // A sequence of tokens that is about to be computed (or has been); of the first `countable` ones, those that begin
  // an earlier sequence too are counted. Sequences of different roots share nothing.
  void see(std::uint64_t root, const std::vector<std::int32_t>& tokens, std::size_t countable) {
    if (!counts_) return;
    std::uint64_t hash = root * 0x9E3779B97F4A7C15ULL + 1;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      hash = (hash ^ static_cast<std::uint32_t>(tokens[i])) * 0xBF58476D1CE4E5B9ULL;
      hash ^= hash >> 31;
      if (!beginnings_.insert(hash).second && i < countable) ++counts_->shareable;
    }
  }

 private:
  std::shared_ptr<SharedTokens> counts_;
  std::unordered_set<std::uint64_t> beginnings_;  // their hashes
};

}  // namespace precept::infer
