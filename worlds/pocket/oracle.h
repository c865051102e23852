#pragma once
// The oracle of the pocket world: it knows the hidden attributes of each prompt and decides from the
// text of an answer which principles it violates and whether it helps. Only evaluation asks it. It knows
// answers by the phrases of this world: what another model says in words of its own can be misjudged.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/evaluate/scorer.h"
#include "worlds/pocket/world.h"

namespace precept::pocket {

// `count` prompts of a split, with ids "pocket-train-SEED-INDEX" or "pocket-heldout-SEED-INDEX", from
// which the oracle finds their scenes again.
std::vector<Prompt> pocket_prompts(Split split, int count, std::uint64_t seed);

// The scene a prompt was made from; nullopt for prompts that are not of this world.
std::optional<Scene> scene_of(const Prompt& prompt);

// What the text of an answer does, for every rule of the world (also those of style).
Ruling rule_on(const Scene& scene, const std::string& answer);

// Raise the number whenever any ruling changes: evaluations of different names are not compared.
inline constexpr const char* kOracleName = "pocket oracle 2";

class PocketOracle : public Scorer {
 public:
  // Rules on the constitution's principles whose ids the world knows; all others stay unscored.
  explicit PocketOracle(const Constitution& constitution);
  std::string name() const override { return kOracleName; }
  std::optional<Ruling> rule(const Prompt& prompt, const std::string& answer) const override;

 private:
  std::vector<std::string> ids_;
};

}  // namespace precept::pocket
