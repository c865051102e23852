#pragma once
// What a program is worth: its tests in the sandbox, and a reviewer's word on each principle of a code constitution
// (constitutions/code.toml). Each is a term of its own; how they are mixed is the matter of RewardMix's weights.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/feedback/code/code_test.h"
#include "precept/feedback/reward_source.h"
#include "precept/model/model.h"
#include "precept/revise/templates.h"

namespace precept {

struct CodeReview {
  // By principle, in the constitution's order: 1 - probability that the program breaks it, where the reviewer has log-probs;
  // else 1 or 0 as it says; undefined where its answer cannot be read or did not come.
  std::vector<std::optional<double>> scores;
  std::string why;  // of what is undefined: a failed request, an answer that cannot be read
};

// One review of each program, in their order. The answers of a reviewer without log-probs are greedy and at most
// `list_tokens` long. An Error: of the constitution's templates.
struct ReviewedProgram {
  Conversation messages;  // the task, as the model was asked
  std::string program;
};
Result<std::vector<CodeReview>> review_programs(Model& reviewer, const Constitution& constitution,
                                                const std::vector<ReviewedProgram>& programs, int list_tokens = 256);

// Terms "tests" (1 passed, 0 failed), then the principles' ids with "_" for "-" ("correctness", "maintainability",
// "clarity"). An answer's program is what program_of_answer() finds in it; the task is found by RewardInput::id, and an
// unknown one is an Error. A program that fails its tests is reviewed all the same: the terms stay apart.
class CodeReward : public RewardSource {
 public:
  // All references outlive it. `reviewer` may be null: then "tests" is the only term.
  CodeReward(const std::vector<CodeTask>& tasks, Sandbox& sandbox, const SandboxLimits& limits, Model* reviewer,
             const Constitution* constitution);

  const std::vector<std::string>& terms() const override { return terms_; }
  Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) override;

 private:
  const std::vector<CodeTask>& tasks_;
  Sandbox& sandbox_;
  SandboxLimits limits_;
  Model* reviewer_;
  const Constitution* constitution_;
  std::vector<std::string> terms_;
};

}  // namespace precept
