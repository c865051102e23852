#pragma once
// What decides between rounds of alignment: a panel that no round trains on.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/constitution/pairs.h"
#include "precept/constitution/prompts.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/judge.h"
#include "precept/evaluate/pair_panel.h"
#include "precept/evaluate/round_decision.h"
#include "precept/model/model.h"

namespace precept {

// Of one model on the panel: answers that the pocket world's oracle ruled on, or pairs with labels.
struct PanelReading {
  std::string model_digest;
  std::optional<Evaluation> world;
  std::optional<PairReading> pairs;

  // By their ids, as of PanelRates: "violation_rate", "helpfulness", "over_refusal"; or "preference", "judgment".
  std::vector<std::pair<std::string, Estimate>> rates() const;
};
// Item by item. Both of the same panel.
PanelRates compare(const PanelReading& before, const PanelReading& after);

class Panel {
 public:
  // `count` prompts of the pocket world's training part whose texts are not among `taken`.
  static Result<Panel> of_world(const Constitution& constitution, int count, const std::vector<Prompt>& taken, std::uint64_t seed);
  // Pairs of answers that somebody labelled; those whose prompts are among `taken` are left out.
  static Result<Panel> of_labels(const Constitution& constitution, const std::string& path, const std::vector<Prompt>& taken);

  // Of the model as it is; what `path` holds of the same model is taken as it is, else it is written.
  Result<PanelReading> measure(Model& model, const std::string& label, const std::string& path, const EventSink& events) const;
  // How good the model judges, on the world's panel: its first `cases` prompts with the answers of `reading`. Likewise.
  Result<JudgeQuality> measure_judge(Model& model, const PanelReading& reading, int cases, const std::string& path, const EventSink& events) const;

  std::size_t size() const { return pairs_.empty() ? prompts_.size() : pairs_.size(); }
  bool of_world() const { return pairs_.empty(); }

 private:
  explicit Panel(const Constitution& constitution) : constitution_(&constitution) {}

  const Constitution* constitution_;
  std::vector<Prompt> prompts_;
  std::vector<AnswerPair> pairs_;
  std::uint64_t seed_ = 0;
};

}  // namespace precept
