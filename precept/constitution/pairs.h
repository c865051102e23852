#pragma once
// Pairs of answers in: JSONL, plain or gzip, in TRL's shapes with an optional label, or in that of hh-rlhf.
//
//   {"prompt": TEXT | MESSAGES, "chosen": TEXT | MESSAGES, "rejected": ..., "label": 0..1, "id": ...}
//   {"chosen": "\n\nHuman: ...\n\nAssistant: ...", "rejected": "..."}
//
// An answer may be empty: people prefer silence to some answers (hh-rlhf has such pairs), and something to silence. It is learnt and
// judged as any other, and said (silent_answers).

#include <string>
#include <vector>

#include "precept/constitution/lines.h"
#include "precept/core/result.h"
#include "precept/model/message.h"

namespace precept {

struct AnswerPair {
  std::string id;             // given, or derived from the conversation as in load_prompts; not unique: a prompt may have many pairs
  Conversation messages;      // the prompt: what both answers have before their last assistant turn
  std::string chosen, rejected;
  double label = 1;           // probability that `chosen` is the better one
};

// Errors name file and line. Other keys are passed over.
Result<std::vector<AnswerPair>> load_pairs(const std::string& path);
Result<std::vector<AnswerPair>> read_pairs(ByteSource source, const std::string& file);

// What to tell of answers in which nothing is said; empty: there is none.
std::string silent_answers(const std::vector<AnswerPair>& pairs);

}  // namespace precept
