#pragma once
// The AI judge as a reward: the loop's own requests, by the principles that apply.

#include <map>

#include "precept/feedback/reward_source.h"
#include "precept/revise/review.h"

namespace precept {

// What a verdict is worth: the probability that the principle is kept, or only whether it is (1 or 0). The probability moves
// with the wording of answers that are all fine; where nearly all are, that outweighs the few that are not.
enum class JudgeWorth { kProbability, kVerdict };

// One term, "judge": the worth of the verdict on the principle that the answer keeps least, of those that apply to the prompt;
// 1 where none applies. Undefined where a verdict could not be read. `why` names the principle.
class JudgeReward : public RewardSource {
 public:
  // All is borrowed. Which principles apply is asked once a prompt, and kept by its text.
  JudgeReward(Model& judge, const Constitution& constitution, const Templates& templates, JudgeWorth worth = JudgeWorth::kProbability,
              ReviewOptions options = {})
      : judge_(judge), constitution_(constitution), templates_(templates), worth_(worth), options_(options) {}

  const std::vector<std::string>& terms() const override { return terms_; }
  Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) override;

 private:
  Status select(std::span<const RewardInput> answers);

  Model& judge_;
  const Constitution& constitution_;
  const Templates& templates_;
  JudgeWorth worth_;
  ReviewOptions options_;
  std::vector<std::string> terms_ = {"judge"};
  std::map<std::string, Principles> applying_;  // by the conversation's text
  Usage usage_;
};

}  // namespace precept
