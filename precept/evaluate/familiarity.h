#pragma once
// Does a model know this kind of text? Verdicts on text from outside of its world mean nothing, however sure they are,
// so every run measures it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "precept/constitution/prompts.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/evaluate/perplexity.h"
#include "precept/model/model.h"
#include "precept/store/run_store.h"

namespace precept {

inline constexpr std::size_t kFamiliaritySample = 200;  // texts that are measured

// Text is far outside of a model's world from this many times the bits a byte that it needs for unseen text of its
// own. Own text drawn again differs by a tenth; real conversations cost the built-in model more than three times as much.
inline constexpr double kFarFromOwn = 2.0;
// Where its own text is not known: what a general-purpose compressor, which knows no language, needs for English prose.
inline constexpr double kFarBits = 3.0;
// A judge of whose verdicts a larger share is unparseable or uncertain decides too little.
inline constexpr double kVagueShare = 0.2;

struct Familiarity {
  std::string model;              // URI of the model that was asked
  std::int64_t prompts = 0;       // of the run
  Perplexity text;                // of a sample of them: the last turn of each
  std::optional<Perplexity> own;  // of unseen text of the model's own world; absent: not known

  // Bits a byte beyond which `text` is far outside.
  double threshold() const;
  // Undefined when nothing could be scored.
  std::optional<bool> far_outside() const;
};

// The last turns of at most `most` prompts: those whose ids have the smallest hashes, so that the order of the file
// does not matter.
std::vector<std::string> sample_texts(const std::vector<Prompt>& prompts, std::size_t most = kFamiliaritySample);

// Measures `texts`, a sample of `prompts` prompts, and, unless empty, all of `own`. Needs a model that can score. A pure
// function of model and texts.
Result<Familiarity> measure_familiarity(Model& model, const std::vector<std::string>& texts, std::int64_t prompts,
                                        const std::vector<std::string>& own, const EventSink& events = {});

// Plain words for people, with the figures and the reason for the threshold; empty when there is nothing to warn of.
std::string familiarity_warning(const Familiarity& familiarity);
std::string verdict_warning(const VerdictCount& judge);

// "5.09 bits a byte", "undefined".
std::string bits_text(const Perplexity& p);

std::string to_json(const Familiarity& familiarity);
Result<Familiarity> load_familiarity(const std::string& path);

}  // namespace precept
