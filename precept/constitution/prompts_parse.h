#pragma once
// The parts of load_prompts that other readers and the fuzzer use.

#include <string>
#include <vector>

#include "precept/constitution/lines.h"
#include "precept/constitution/prompts.h"

namespace precept {

Result<std::vector<Prompt>> read_prompts(ByteSource source, const std::string& file);

// Gives every prompt without id its derived one (see Prompt::id), unique among all.
void derive_ids(std::vector<Prompt>& prompts);

}  // namespace precept
