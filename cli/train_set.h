#pragma once
// Training sets for `precept train` and `precept pocket build`: conversations in, weighted tokens out.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "precept/lm/api.h"
#include "precept/text/chat_codec.h"

namespace precept {

// Supervised examples of a JSONL file in TRL's shapes: {"prompt", "completion"} or {"messages"}. Only the assistant's
// tokens carry weight: those of the completion, and in the messages form those of every assistant turn.
// Errors name file and line.
Result<TrainSet> load_sft_set(const std::string& path, const TokenizerFiles& files);

// Plain texts, of which every token is learnt.
TrainSet text_set(const std::vector<std::string>& texts, const TokenizerFiles& files);

// The pretraining corpus of the pocket world, `count` documents made on the fly.
TrainSet pocket_train_set(std::uint64_t seed, std::uint64_t count, const TokenizerFiles& files);

}  // namespace precept
