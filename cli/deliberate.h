#pragma once
// Answers with the rules before the model's eyes, to be learnt without them: deliberative alignment (Guan et al. 2024, arXiv
// 2412.16339, sections 2.2 and 2.3) without its reasoning; of context distillation (Askell et al. 2021, arXiv 2112.00861, section 2.3) it differs
// in that a judge who knows the rules too filters the answers.

#include <memory>
#include <string>
#include <vector>

#include "cli/method_stages.h"

namespace precept {

struct DeliberatedSlice {
  std::string lines;  // {"prompt", "completion"}, one a prompt that has an answer
  int kept = 0;       // so many
  TokensSpent spent;
};

class Deliberation {
 public:
  // The policy answers, the base of the setting judges. The setting outlives this.
  static Result<Deliberation> begin(const MethodSetting& setting, const DeliberateOptions& options, const std::string& policy);
  Result<DeliberatedSlice> answer(const std::vector<Prompt>& prompts);

 private:
  Deliberation(const MethodSetting& setting, const DeliberateOptions& options, Templates templates)
      : setting_(setting), options_(options), templates_(std::move(templates)), meter_(std::make_unique<TokenMeter>()) {}

  const MethodSetting& setting_;
  DeliberateOptions options_;
  Templates templates_;
  std::unique_ptr<TokenMeter> meter_;
  std::unique_ptr<Model> policy_, judge_;
};

}  // namespace precept
