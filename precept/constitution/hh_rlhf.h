#pragma once
// Real conversations as prompts: the format of Anthropic's hh-rlhf data set (Bai et al. 2022, arXiv
// 2204.05862), JSONL with `chosen` and `rejected`, each "\n\nHuman: ...\n\nAssistant: ..." turns.

#include <string>
#include <string_view>
#include <vector>

#include "precept/constitution/lines.h"
#include "precept/constitution/prompts.h"

namespace precept {

// The conversation of `chosen` up to its last human turn, tagged "hh-rlhf"; ids are derived as in
// load_prompts. Plain or gzip. Turns of the same speaker in a row are joined by an empty line; empty
// turns are dropped. Errors name file and line.
Result<std::vector<Prompt>> load_hh_rlhf(const std::string& path);

// The turns of one such text; empty when it does not begin with a human turn.
Conversation hh_turns(std::string_view text);
// Ends the text with an assistant's turn in which nothing is said? hh_turns drops it.
bool hh_ends_silent(std::string_view text);

Result<std::vector<Prompt>> read_hh_rlhf(ByteSource source, const std::string& file);

}  // namespace precept
