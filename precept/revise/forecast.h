#pragma once
// What a run would ask of its models: calls and tokens of each step, from the requests themselves, before anything is
// sent. Bounds, not guesses: what depends on answers lies between "nothing applies, nobody writes more than one token" and
// "everything applies and is always violated, every answer is as long as it may be".

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/revise/revise.h"

namespace precept {

// How the judge is asked.
enum class JudgeWay {
  kScores,  // one call about all principles (models in this process)
  kWords,   // one request a principle (endpoints with log-probs)
  kList,    // one request for a list of verdicts
};

// Tokens of a text: at least, and at most. Equal where the tokenizer is known.
struct TokenBounds {
  std::int64_t low = 0, high = 0;
};
using CountTokens = std::function<TokenBounds(std::string_view)>;

// For a model without a tokenizer here: 5 bytes a token at least, 3 at most.
inline constexpr int kFewBytesPerToken = 3, kManyBytesPerToken = 5;
TokenBounds tokens_by_bytes(std::string_view text);
// What the chat format may add to one request, at most.
inline constexpr int kChatTokens = 32;

struct ForecastBounds {
  std::int64_t calls = 0, prompt_tokens = 0, output_tokens = 0;
};
struct ForecastStep {
  StepKind kind = StepKind::kDraft;
  bool judge = false;  // the judge's; else the policy's
  ForecastBounds low, high;
};
struct Forecast {
  std::int64_t items = 0;
  std::vector<ForecastStep> steps;  // those that the options allow, in the order of StepKind
};

// `ways`: those in which the judge may be asked; more than one where only its answers will tell.
Result<Forecast> forecast(const Constitution& constitution, const ReviseOptions& options, const std::vector<RunItem>& items,
                          const std::vector<JudgeWay>& ways, const CountTokens& policy, const CountTokens& judge);

}  // namespace precept
