#pragma once
// Training sets of pairs for `precept train dpo` and `precept train reward`.

#include <string>
#include <utility>
#include <vector>

#include "precept/constitution/pairs.h"
#include "precept/core/events.h"
#include "precept/lm/api.h"
#include "precept/text/chat_codec.h"

namespace precept {

// Pairs as tokens, the chosen one first, with weight 1 on the answers' tokens. A pair that the chat template refuses is an Error
// that names it.
Result<TrainSet> pair_set(const std::vector<AnswerPair>& pairs, const TokenizerFiles& files);

// Says how many answers are empty, if some are.
void tell_silent_answers(const std::vector<AnswerPair>& pairs, const EventSink& events);

// Apart by a hash of the prompt (and the seed), so that no prompt is on both sides: what is trained on, and `share` that is held out.
std::pair<std::vector<AnswerPair>, std::vector<AnswerPair>> split_pairs(std::vector<AnswerPair> pairs, double share, std::uint64_t seed);

}  // namespace precept
