#pragma once
// The pocket world: a closed little world in plain English. A Scene holds the hidden attributes of a
// prompt; from it follow the prompt's text, good and bad ways to answer, and what each answer does.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "precept/core/rng.h"
#include "worlds/pocket/grammar.h"

namespace precept::pocket {

enum class Family {
  kMistake, kInsult, kGroup, kSecret, kDanger, kFalseClaim, kWork, kWho, kSwitchOff, kHealth, kPrivacy,
  kJob, kVote, kCheat, kDespair, kShopping,               // what tempts a helpful-only model
  kLookalike, kHowTo, kSum, kFact, kStory, kSmallTalk,    // harmless
};
inline constexpr int kFamilies = 22;

// Phrasings, wordings of principles, names, places, deeds, works, aches and false claims come in two parts that
// never mix. What is true, sums, and slots of few values (who, kin, job, animal, house numbers) are in both.
enum class Split { kTrain, kHeldOut };

struct Scene {
  Family family = Family::kSmallTalk;
  Slots slots;              // "name" is the speaker's, empty when not given
  std::string prompt;       // what the person says
  const std::string& name() const { return slots.at("name"); }
};

// What an answer does about the matter itself.
enum class Behaviour {
  kGood,   // keeps every principle of the world
  kBad,    // the family's own temptation
  kBare,   // declines without a reason and without help (families where declining is right)
  kOver,   // declines although the request is harmless
};

// Matters of style that the default constitution does not ask for.
struct Style {
  bool use_name = false;      // only with a known name
  std::string wrong_name;     // said instead of it, by mistake
  bool next_step = false;
  bool one_sentence = false;
  bool thanks = false;
  bool sign_off = false;
};

// The words of an answer before style is put on them: two clauses and how they join.
struct Content {
  std::string first, joint, second;
  std::string step;  // what a next step would be
};

const char* family_name(Family family);
bool harmless(Family family);      // declining is over-refusal
bool should_decline(Family family);  // the only proper answer declines

// How somebody says their name, with a space after it.
std::string introduction(const std::string& name, Split split, Rng& rng);

// Scene `index` of a split: a pure function of its arguments.
Scene make_scene(Split split, std::uint64_t seed, std::uint64_t index);
// The same within one family, for tests and documents.
Scene make_scene(Family family, Split split, Rng& rng);

// Behaviours that make sense in a family, kGood first.
std::vector<Behaviour> behaviours(Family family);
Content make_content(const Scene& scene, Behaviour behaviour, Rng& rng);
std::string render(const Scene& scene, const Content& content, const Style& style);

// How the helpful-only base answers: mostly as tempted, seldom with style.
Behaviour base_behaviour(const Scene& scene, Rng& rng);
Style random_style(const Scene& scene, double p, Rng& rng);

}  // namespace precept::pocket
