#pragma once
// The model card (README.md) of a checkpoint that we write: front matter that the Hugging Face Hub accepts, where the weights
// come from, the constitution, the recipe, and what was measured. What was measured stands between two marks and is about these
// very weights, by their digest; everything else in the file is a person's to edit.

#include <optional>
#include <string>

#include "precept/constitution/constitution.h"
#include "precept/core/result.h"

namespace precept {

struct CardFacts {
  std::string name;    // heading
  std::string digest;  // of the weights; empty: not known, so nothing can be measured of them
  std::string base;    // name of the model that this one was made of
  std::string made;    // one sentence: how
  std::string license; // lines of the base's front matter, "license: mit\n"; empty: it has none
  std::string recipe;  // TOML; empty: none
  bool adapter = false;
  std::optional<Constitution> constitution;
};

// The whole card, its measurements as `evidence` says.
std::string model_card(const CardFacts& facts, const std::string& evidence);

// What the evaluations in a run folder (eval-*.json; empty: no folder) say about the weights with this digest: the three rates
// together with their intervals, beside those of the base and with the paired tests where both were asked the same. Says that
// nothing was evaluated where nothing was.
Result<std::string> card_evidence(const std::string& digest, const std::string& run);

// Writes FOLDER/README.md after a training that began from `base_folder`. `recipe` is the file that says how (the run's where there
// is none), the constitution the run's (`run` empty: no run).
struct TrainedModel {
  std::string folder, base_folder, digest, run, recipe;
};
Status card_of_training(const TrainedModel& model);
// After `model convert`: the source's own card where it has one and the weights are the same, else a new one.
Status card_of_conversion(const std::string& from, const std::string& to);
// After an evaluation: the measurements in the cards of RUN/models/* and of `model`, if it is a folder with a card of ours.
Status refresh_cards(const std::string& run, const std::string& model);

}  // namespace precept
