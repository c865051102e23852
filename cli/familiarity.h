#pragma once
// Whether the prompts of a run are text that its model knows: measured once per run, kept in RUN/familiarity.json.

#include <cstdint>
#include <string>
#include <vector>

#include "precept/constitution/prompts.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

// Prompts of the pocket world that no training saw.
std::vector<Prompt> unseen_pocket_prompts(int count, std::uint64_t seed);

// Does `uri` name the built-in model, whose own world is known?
bool is_built_in(const std::string& uri);

// Measures `texts` (sample_texts of `prompts` prompts), writes the file, and warns through `events` when the text is far
// outside. Does nothing when the file is there or the model cannot score. A model that fails to answer is a warning: the
// loop is worth having without this.
Status keep_familiarity(const std::string& run, Model& model, bool built_in, const std::vector<std::string>& texts,
                        std::size_t prompts, const EventSink& events);

}  // namespace precept
