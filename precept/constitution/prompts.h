#pragma once
// Prompts in: JSONL with `prompt` or `messages`, optional `id` and `tags`.

#include <map>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/message.h"

namespace precept {

struct Prompt {
  std::string id;                 // given, or "p" + the first 12 digits of the digest of the conversation
  Conversation messages;          // ends with a user turn
  std::vector<std::string> tags;
};

// Reads a prompts file. Errors name file and line; ids are unique (identical conversations without id
// get "-2", "-3"... appended in file order).
Result<std::vector<Prompt>> load_prompts(const std::string& path);

}  // namespace precept
