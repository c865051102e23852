#include "precept/text/chat_tokens.h"

namespace precept {

Result<ChatTokens> tokenize_chat(const Tokenizer& tokenizer, const ChatFormat& chat, const Conversation& messages,
                                 std::size_t first_answer) {
  ChatTokens out;
  const auto put = [&](const std::vector<std::int32_t>& ids, bool answer) {
    out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
    out.answer.insert(out.answer.end(), ids.size(), answer);
  };
  put(chat.begin_ids, false);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    const auto role = chat.roles.find(message.role);
    if (role == chat.roles.end()) {
      return bad_input("unknown role '" + message.role + "'", "use system, user or assistant");
    }
    const bool answer = i >= first_answer && message.role == "assistant";
    put(role->second.prefix_ids, false);
    put(tokenizer.encode(message.content), answer);
    put(role->second.suffix_ids, answer);
  }
  return out;
}

}  // namespace precept
