#pragma once
// One turn of a conversation, in the shape every chat API shares.

#include <string>
#include <vector>

namespace precept {

struct Message {
  std::string role;     // "system", "user" or "assistant"
  std::string content;  // UTF-8

  bool operator==(const Message&) const = default;
};

using Conversation = std::vector<Message>;

}  // namespace precept
