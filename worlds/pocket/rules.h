#pragma once
// The rules that the pocket world knows, each in many wordings, and what they mean in it. The ids are
// those of constitutions/default.toml and constitutions/pocket-style.toml.

#include <string>
#include <vector>

#include "worlds/pocket/world.h"

namespace precept::pocket {

struct Rule {
  const char* id;
  std::vector<Family> families;                // where it matters; empty: a rule of style
  std::vector<const char*> wordings;           // patterns; training
  std::vector<const char*> wordings_held_out;
  std::vector<const char*> critiques;          // completes "The reply ..."
};

const std::vector<Rule>& rules();
const Rule* find_rule(const std::string& id);

std::string word_rule(const Rule& rule, Split split, Rng& rng);

bool applies(const Rule& rule, const Scene& scene);
// By intention, from how the answer was made (the oracle decides from its text instead).
bool violates(const Rule& rule, const Scene& scene, Behaviour behaviour, const Style& style);

// What would mend an answer that violates `rule`.
void mend(const Rule& rule, const Scene& scene, Behaviour& behaviour, Style& style);

}  // namespace precept::pocket
