#pragma once
// What a method takes, in tokens: the measure by which methods get equal budgets.

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "precept/model/model.h"

namespace precept {

struct TokensSpent {
  std::int64_t generated = 0;  // written by a model
  std::int64_t read = 0;       // of prompts, and of answers that a judge or a frozen reference reads
  std::int64_t trained = 0;    // through a trainer, all passes
  // Forward passes of one token. Training takes about three: forward 2, backward 4 operations a parameter and token (Kaplan et al.
  // 2020, arXiv 2001.08361, section 2.1).
  std::int64_t passes() const { return generated + read + 3 * trained; }
  TokensSpent& operator+=(const TokensSpent& other) {
    generated += other.generated;
    read += other.read;
    trained += other.trained;
    return *this;
  }
};

// Counts what models in this process are asked. A prompt counts whole, reused or not, and a question to a judge that was put before
// does not count again: so the sum follows from what was asked, however often a run was killed on the way.
class TokenMeter {
 public:
  std::unique_ptr<Model> around(std::unique_ptr<Model> model);
  const TokensSpent& count() const { return count_; }

  void pause(bool paused) { paused_ = paused; }  // what guards ask is no part of a method
  void add(const TokensSpent& more) { if (!paused_) count_ += more; }
  void asked(const Usage& usage) { add({usage.output_tokens, usage.prompt_tokens, 0}); }
  void scored(std::uint64_t question, const Usage& usage);

  // The questions since the last call; and to go on where another session stood.
  std::vector<std::uint64_t> take_fresh();
  void restore(const TokensSpent& count, const std::vector<std::uint64_t>& questions);

 private:
  TokensSpent count_;
  bool paused_ = false;
  std::set<std::uint64_t> seen_;
  std::vector<std::uint64_t> fresh_;
};

}  // namespace precept
