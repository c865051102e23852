#pragma once
// Lessons: what the pocket model has to know before it can be tested for anything else. Short questions
// and answers about sums, facts, names and tasks, several to a document.

#include "precept/core/rng.h"
#include "precept/model/message.h"

namespace precept::pocket {

// Alternating user and assistant turns; only training values occur.
Conversation make_lesson(Rng& rng);

}  // namespace precept::pocket
