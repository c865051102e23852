#pragma once
// A conversation as training tokens: which of them the assistant said.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "precept/text/chat_format.h"

namespace precept {

struct ChatTokens {
  std::vector<std::int32_t> tokens;
  std::vector<bool> answer;  // same length: true for the assistant's content and its end token
};

// The same tokens as ChatFormat::render without generation prompt. Errors as there. Turns before `first_answer` belong to
// the prompt, whoever said them: none of their tokens is an answer.
Result<ChatTokens> tokenize_chat(const Tokenizer& tokenizer, const ChatFormat& chat, const Conversation& messages,
                                 std::size_t first_answer = 0);

}  // namespace precept
