#pragma once
// The stage of a method that deliberates (precept/feedback/deliberate.h), on checkpoints, metered.

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
  Deliberation(const MethodSetting& setting, const DeliberateOptions& options)
      : setting_(setting), options_(options), meter_(std::make_unique<TokenMeter>()) {}

  const MethodSetting& setting_;
  DeliberateOptions options_;
  std::unique_ptr<TokenMeter> meter_;
  std::unique_ptr<Model> policy_, judge_;
};

}  // namespace precept
