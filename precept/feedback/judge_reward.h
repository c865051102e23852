#pragma once
// The AI judge as a reward: the loop's own requests, by the principles that apply.

#include <map>

#include "precept/feedback/reward_source.h"
#include "precept/revise/review.h"

namespace precept {

// One term, "judge": the probability that the answer keeps the principle that it keeps least, of those that apply to the prompt;
// 1 where none applies. Undefined where a verdict could not be read. `why` names the principle.
class JudgeReward : public RewardSource {
 public:
  // All is borrowed. Which principles apply is asked once a prompt, and kept by its text.
  JudgeReward(Model& judge, const Constitution& constitution, const Templates& templates, ReviewOptions options = {})
      : judge_(judge), constitution_(constitution), templates_(templates), options_(options) {}

  const std::vector<std::string>& terms() const override { return terms_; }
  Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) override;

 private:
  Status select(std::span<const RewardInput> answers);

  Model& judge_;
  const Constitution& constitution_;
  const Templates& templates_;
  ReviewOptions options_;
  std::vector<std::string> terms_ = {"judge"};
  std::map<std::string, Principles> applying_;  // by the conversation's text
  Usage usage_;
};

}  // namespace precept
