#pragma once
// RewardSource: what an answer is worth to a trainer. One source is one or several named terms (a reward model, an AI judge by
// principle, a rule, unit tests, length, format...); terms are kept apart to the end, so that each can be logged, weighted and
// distrusted alone.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/message.h"

namespace precept {

// One answer to be valued. What else a source must know of a task (its tests, say) it finds by the id.
struct RewardInput {
  std::string id;           // of the prompt
  Conversation messages;    // the prompt: ends with a user turn
  std::string reply;        // the answer, without end token
  std::int64_t tokens = 0;  // tokens of the answer; 0: unknown
  bool cut = false;         // stopped by the limit of tokens
  int sample = 0;           // which of the answers to this prompt; with the id it names the answer's random streams
};

// What one term says of one answer. Undefined: unscored (an answer of a judge that could not be read, a sandbox that failed):
// never a zero.
struct RewardValue {
  std::optional<double> value;
  std::string why;  // one line for people: the violated principle, the failed test; may be empty
};

class RewardSource {
 public:
  virtual ~RewardSource() = default;
  // Names of the terms, in the order of the values; each once in a run. Lower-case words joined by "_".
  virtual const std::vector<std::string>& terms() const = 0;
  // Values of all answers: result[answer][term]. Blocks until all are there; a source works on the whole batch at once (a
  // model batches, a sandbox runs processes side by side). Pure: the same answers get the same values, in any company. An
  // Error ends the training; what concerns one answer alone is an undefined value.
  virtual Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) = 0;
};

// A source and what its terms count.
struct WeightedReward {
  std::shared_ptr<RewardSource> source;
  std::vector<double> weights;  // one for each of its terms
};

// The values of all sources for one answer, in the order of RewardMix::terms().
struct Reward {
  std::optional<double> total;      // sum of weight * value; undefined when a term of weight other than 0 is
  std::vector<RewardValue> values;
};

// A mix of sources as one function of a batch.
class RewardMix {
 public:
  // Refuses names that occur twice, and weights that do not fit the terms or are not finite.
  static Result<RewardMix> make(std::vector<WeightedReward> sources);

  const std::vector<std::string>& terms() const { return terms_; }
  const std::vector<double>& weights() const { return weights_; }
  Result<std::vector<Reward>> score(std::span<const RewardInput> answers) const;

 private:
  std::vector<WeightedReward> sources_;
  std::vector<std::string> terms_;
  std::vector<double> weights_;
};

// Totals of answers to one prompt (the same id; they stand together) become their mean where they differ by at most `spread`: none
// of them is better than another, and a trainer that skips such prompts skips this one.
void level_rewards(std::span<const RewardInput> answers, double spread, std::vector<Reward>& rewards);

}  // namespace precept
