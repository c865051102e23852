#pragma once
// A conversation as training tokens: which of them the assistant said.

#include <cstdint>
#include <vector>

#include "precept/text/chat_format.h"

namespace precept {

struct ChatTokens {
  std::vector<std::int32_t> tokens;
  std::vector<bool> answer;  // same length: true for the assistant's content and its end token
};

// The same tokens as ChatFormat::render without generation prompt. Errors as there.
Result<ChatTokens> tokenize_chat(const Tokenizer& tokenizer, const ChatFormat& chat, const Conversation& messages);

}  // namespace precept
