#pragma once
// The parts of load_prompts that other readers and the fuzzer use.

#include <functional>
#include <string>
#include <vector>

#include "precept/constitution/json_line.h"
#include "precept/constitution/lines.h"
#include "precept/constitution/prompts.h"

namespace precept {

Result<std::vector<Prompt>> read_prompts(ByteSource source, const std::string& file);

// One prompt from the object of one line.
using ReadPrompt = std::function<Result<Prompt>(const nlohmann::json& object, int line)>;

// The prompts of JSONL, one a line, blank lines aside; those without id get their derived one. A file without any is an
// error with this hint.
Result<std::vector<Prompt>> read_prompt_lines(ByteSource source, const std::string& file, const ReadPrompt& read,
                                              const std::string& hint_when_empty);

// Gives every prompt without id its derived one (see Prompt::id), unique among all.
void derive_ids(std::vector<Prompt>& prompts);

}  // namespace precept
