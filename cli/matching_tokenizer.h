#pragma once
// The tokenizer of a checkpoint folder that is to be trained or converted.

#include <string>

#include "precept/checkpoint/llama_config.h"
#include "precept/core/result.h"
#include "precept/text/chat_codec.h"

namespace precept {

// Refused, by the rule of the engine that will read the result, unless `tokenizer` can be that of the weights in `folder`.
Status check_tokenizer_fits(const Tokenizer& tokenizer, const LlamaConfig& config, const std::string& folder);

// Tokenizer and chat of FOLDER, which fit its config.json.
Result<TokenizerFiles> load_matching_tokenizer(const std::string& folder);

}  // namespace precept
