#pragma once
// Rewards that look at the text alone: its length, its form, and a rule of phrases. Cheap, and easily gamed: they are meant beside
// a judge, and the guards watch.

#include "precept/core/fields.h"
#include "precept/feedback/reward_source.h"

namespace precept {

struct TextRewardOptions {
  int most_tokens = 0;       // longer answers lose; 0: no length is too long
  std::string must_contain;  // phrases, separated by "|"; ASCII case is ignored; empty: none
  std::string must_not_contain;
};

// Terms:
//   "length"  0 up to most_tokens, then -1 for every most_tokens more
//   "format"  1 for an answer that is not blank, not cut off and does not end in one word said over and over; else 0
//   "rule"    1 when it contains one of must_contain (or there are none) and none of must_not_contain; else 0
class TextReward : public RewardSource {
 public:
  explicit TextReward(TextRewardOptions options);
  const std::vector<std::string>& terms() const override { return terms_; }
  Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) override;

 private:
  TextRewardOptions options_;
  std::vector<std::string> terms_ = {"length", "format", "rule"};
  std::vector<std::string> wanted_, unwanted_;
};

}  // namespace precept
