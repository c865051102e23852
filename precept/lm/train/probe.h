#pragma once
// A look at the policy for the guards: it answers prompts that no step trains on, with the same random numbers at every look.

#include <memory>
#include <optional>
#include <vector>

#include "precept/lm/train/rollout.h"

namespace precept {

class Probe {
 public:
  // `reward`, `reference` and `policy` may be absent (the last one is then opened); borrowed is all but `reward`. Without guard
  // prompts nothing is ever looked at.
  static Result<std::unique_ptr<Probe>> make(const LessonStart& start, RewardFunction reward, Reference* reference, PolicyEngine* policy = nullptr);

  Result<std::optional<Reading>> look(BatchTrainer& trainer, std::int64_t step);

 private:
  explicit Probe(const TrainOptions& options) : options_(options) {}
  Result<std::vector<Generation>> answers(World* world);
  Status measure_kl(BatchTrainer& trainer, const std::vector<Generation>& answers, Reading& reading);
  Status measure_worth(const std::vector<Rollout>& rollouts, Reading& reading);

  const TrainOptions& options_;
  RewardFunction reward_;
  Reference* reference_ = nullptr;
  std::unique_ptr<PolicyEngine> own_policy_;
  PolicyEngine* policy_ = nullptr;  // null: there are no prompts
  std::optional<TokenizerFiles> files_;
};

}  // namespace precept
