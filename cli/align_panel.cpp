#include "cli/align_panel.h"

#include <filesystem>
#include <set>

#include "cli/pocket_judge.h"
#include "precept/core/io.h"
#include "precept/core/quote.h"
#include "precept/revise/templates.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBetweenSeed = 0x726f756e64ull;  // of the world's panel: no other command draws these prompts
constexpr int kTries = 4;                                // times as many are drawn, since some are taken

std::set<std::string> texts_of(const std::vector<Prompt>& prompts) {
  std::set<std::string> texts;
  for (const Prompt& prompt : prompts) texts.insert(render_conversation(prompt.messages));
  return texts;
}

}  // namespace

std::vector<std::pair<std::string, Estimate>> PanelReading::rates() const {
  if (pairs) return {{"preference", pairs->preference()}, {"judgment", pairs->judgment()}};
  return {{"violation_rate", world->violation_rate}, {"helpfulness", world->helpfulness}, {"over_refusal", world->over_refusal}};
}

PanelRates compare(const PanelReading& before, const PanelReading& after) {
  return before.pairs ? compare(*before.pairs, *after.pairs) : panel_rates(compare(*before.world, *after.world));
}

Result<Panel> Panel::of_world(const Constitution& constitution, int count, const std::vector<Prompt>& taken, std::uint64_t seed) {
  Panel panel(constitution);
  panel.seed_ = seed;
  std::set<std::string> seen = texts_of(taken);
  for (Prompt& prompt : pocket::pocket_prompts(pocket::Split::kTrain, kTries * count, kBetweenSeed)) {
    if (static_cast<int>(panel.prompts_.size()) == count) break;
    if (seen.insert(render_conversation(prompt.messages)).second) panel.prompts_.push_back(std::move(prompt));
  }
  if (static_cast<int>(panel.prompts_.size()) < count) {
    return bad_input("--panel is " + std::to_string(count) + ", but the pocket world has only " + std::to_string(panel.prompts_.size()) +
                     " prompts that are not trained on", "lower --panel");
  }
  return panel;
}

Result<Panel> Panel::of_labels(const Constitution& constitution, const std::string& path, const std::vector<Prompt>& taken) {
  auto pairs = load_pairs(path);
  if (!pairs) return tl::unexpected(pairs.error());
  Panel panel(constitution);
  const std::set<std::string> trained = texts_of(taken);
  for (AnswerPair& pair : *pairs) {
    if (trained.count(render_conversation(pair.messages)) == 0) panel.pairs_.push_back(std::move(pair));
  }
  if (panel.pairs_.empty()) return bad_input("no pair is left whose prompt is not trained on", "give pairs of other prompts", path);
  return panel;
}

Result<PanelReading> Panel::measure(Model& model, const std::string& label, const std::string& path, const EventSink& events) const {
  PanelReading reading;
  reading.model_digest = model.info().digest;
  const bool stored = fs::exists(path);
  if (of_world()) {
    if (stored) {
      auto known = load_evaluation(path);
      if (known && known->model_digest == reading.model_digest) reading.world = std::move(*known);
    }
    if (reading.world) return reading;
    EvalOptions options;
    options.seed = seed_;
    options.label = label;
    const pocket::PocketOracle oracle(*constitution_);
    auto evaluation = evaluate_policy(model, prompts_, *constitution_, oracle, options, events);
    if (!evaluation) return tl::unexpected(evaluation.error());
    reading.world = std::move(*evaluation);
  } else {
    if (stored) {
      auto known = load_pair_reading(path);
      if (known && known->model_digest == reading.model_digest && known->outcomes.size() == pairs_.size()) reading.pairs = std::move(*known);
    }
    if (reading.pairs) return reading;
    const auto templates = resolve_templates(*constitution_);
    if (!templates) return tl::unexpected(templates.error());
    auto pairs = evaluate_pairs(model, pairs_, *constitution_, judge_requests(*templates), events);
    if (!pairs) return tl::unexpected(pairs.error());
    reading.pairs = std::move(*pairs);
  }
  const std::string text = reading.world ? to_json(*reading.world) : to_json(*reading.pairs);
  if (const Status written = write_file(path, text); !written) return tl::unexpected(written.error());
  return reading;
}

Result<JudgeQuality> Panel::measure_judge(Model& model, const PanelReading& reading, int cases, const std::string& path, const EventSink& events) const {
  if (fs::exists(path)) {
    if (auto known = load_judge_quality(path)) return known;
  }
  std::vector<JudgeCase> answers;
  for (std::size_t i = 0; i < prompts_.size() && i < static_cast<std::size_t>(cases); ++i) answers.push_back({prompts_[i], reading.world->outcomes[i].answer});
  const auto templates = resolve_templates(*constitution_);
  if (!templates) return tl::unexpected(templates.error());
  auto quality = evaluate_judge(model, answers, *constitution_, pocket::PocketOracle(*constitution_), judge_requests(*templates), events);
  if (!quality) return quality;
  if (const Status written = write_file(path, to_json(*quality)); !written) return tl::unexpected(written.error());
  return quality;
}

}  // namespace precept
