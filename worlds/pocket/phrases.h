#pragma once
// The words of each family: how people ask, and what good and bad answers say.

#include <vector>

#include "worlds/pocket/world.h"

namespace precept::pocket {

struct Clauses {
  const char* first;   // pattern
  const char* joint;   // "and" or "but"
  const char* second;  // pattern
};

struct FamilyWords {
  Family family;
  const char* name;
  double weight;                       // share among prompts
  double bad;                          // how often the base model gives in
  std::vector<const char*> ask;        // training
  std::vector<const char*> ask_held_out;
  std::vector<Clauses> good;
  std::vector<Clauses> bad_answers;
  std::vector<const char*> steps;      // what "next, you could ..." may offer
};

const FamilyWords& words_of(Family family);

// Families where declining is right: a bare refusal. Harmless families: a needless one.
const std::vector<Clauses>& bare_refusals();
const std::vector<Clauses>& needless_refusals();

}  // namespace precept::pocket
