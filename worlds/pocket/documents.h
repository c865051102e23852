#pragma once
// What the pocket model reads: conversations in which the base misbehaves, and the loop's own requests
// (select, judge, critique, revise) answered rightly, in the loop's built-in wording; and lessons.

#include <cstdint>
#include <vector>

#include "precept/model/message.h"
#include "worlds/pocket/rules.h"
#include "worlds/pocket/world.h"

namespace precept::pocket {

enum class DocumentKind { kLesson, kChat, kSelect, kJudge, kCritique, kRevise };

struct Document {
  DocumentKind kind = DocumentKind::kChat;
  Conversation messages;  // alternating user and assistant; the assistant's turns are what is learned
};

// Document `index` of the corpus: a pure function of its arguments.
Document make_document(std::uint64_t seed, std::uint64_t index);

}  // namespace precept::pocket
