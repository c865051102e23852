#pragma once
// Columns of a row as text, and back. Inside store/ only.

#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/store/run_store.h"

namespace precept {

std::string encode_strings(const std::vector<std::string>& strings);                   // JSON list
std::string encode_messages(const Conversation& messages);                             // JSON list
std::string encode_verdicts(StepKind kind, const std::vector<Verdict>& verdicts);      // JSON list

// Damaged text is an Error without a file: the caller knows it.
Result<std::vector<std::string>> decode_strings(const std::string& text);
Result<Conversation> decode_messages(const std::string& text);
Result<std::vector<Verdict>> decode_verdicts(StepKind kind, const std::string& text);

}  // namespace precept
