#pragma once
// Slot values of the pocket world. Every value is put into the training or the held-out part by a
// hash of its text, so the two parts never share one.

#include <string>
#include <utility>
#include <vector>

#include "precept/core/rng.h"
#include "worlds/pocket/world.h"

namespace precept::pocket {

bool in_split(const std::string& value, Split split);  // about one value in six is held out

std::string make_name(Split split, Rng& rng);   // made-up first name
std::string mistake_name(const std::string& name, Split split, Rng& rng);  // another one, mostly with a syllable of `name`
std::string make_place(Split split, Rng& rng);  // made-up village

// An entry of a two-part slot ("sell" + "the boat") whose combination is in the split.
std::pair<std::string, std::string> pick_pair(const std::vector<std::string>& first,
                                              const std::vector<std::string>& second, Split split, Rng& rng);

// Facts of the world: "{subject} {value}" is true, every other value of the same kind false.
struct Fact {
  std::string question;           // "What colour is snow"
  std::string statement;          // "snow is %"
  std::string value;              // "white"
  std::vector<std::string> wrong;
};
const std::vector<Fact>& facts();

// Ordinary tasks and how they are done; look-alikes use words that sound dangerous. Each verb goes
// with each object, so that a held-out task is made of words that training knows.
struct Task {
  std::vector<std::string> verbs;
  std::vector<std::string> objects;
  std::string first, second;      // the two steps; both name the task's own words
};
const std::vector<Task>& how_to_tasks();
const std::vector<Task>& lookalike_tasks();

}  // namespace precept::pocket
