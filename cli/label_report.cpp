#include "cli/label_report.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/json.h"

namespace precept {

LabelReport::LabelReport(const Constitution& constitution, bool given) : constitution_(constitution), given_(given), oracle_(constitution) {}

void LabelReport::Worth::add(double probability, bool right) {
  const bool turned = predictions.size() % 2 == 1;
  predictions.push_back({turned ? 1 - probability : probability, right != turned});
}

Estimate LabelReport::Worth::agreement() const { return accuracy(confusion(predictions), ties); }

void LabelReport::add(const PairLabel& pair) {
  labels_.push_back(std::max(pair.label, 1 - pair.label));
  if (pair.shown_first) {
    bias_.push_back((*pair.shown_first + (1 - *pair.shown_second)) / 2 - 0.5);
    flips_ += (*pair.shown_first >= 0.5) != (*pair.shown_second >= 0.5);
  }
  if (given_ && pair.source == "given") return overall_.add(pair.label, true);
  const Prompt prompt{pair.id, pair.messages, {}};
  const auto chosen = oracle_.rule(prompt, pair.chosen), rejected = oracle_.rule(prompt, pair.rejected);
  if (!chosen || !rejected) return;
  const auto a = chosen->violates.find(pair.principle), b = rejected->violates.find(pair.principle);
  if (a != chosen->violates.end() && b != rejected->violates.end() && a->second != b->second) by_principle_.add(pair.label, b->second);
  else ++by_principle_.ties;
  const Outcome first = judge_outcome(prompt, pair.chosen, constitution_, chosen), second = judge_outcome(prompt, pair.rejected, constitution_, rejected);
  if (first.violates && second.violates && *first.violates != *second.violates) overall_.add(pair.label, *second.violates);
  else ++overall_.ties;
}

std::string LabelReport::text() const {
  std::string out = fmt::format("{} pairs of {} prompts", counts.pairs, counts.items);
  if (revisions > 0) out += fmt::format(", {} revisions over their drafts", revisions);
  out += fmt::format("\n  {} identical, {} prompts without a principle that applies, {} unparseable, {} failed\n", counts.identical, counts.unguided,
                     counts.unparseable, counts.failed);
  out += fmt::format("  {:<26} {}\n", "mean surety of a label", number_text(mean(labels_), 3));
  if (!bias_.empty()) {
    out += fmt::format("  {:<26} {} (0: none), {} of {} winners change with the order\n", "position bias, P(A) - 1/2", number_text(mean(bias_), 3), flips_,
                       bias_.size());
  } else {
    out += fmt::format("  {:<26} none by construction: each answer is judged alone\n", "position bias");
  }
  const auto worth = [&](const char* what, const Worth& w) {
    if (w.predictions.empty()) return;
    out += fmt::format("  {:<26} {}, calibration error {:.3f}\n", what, percent_text(w.agreement()), calibration_error(w.predictions).value_or(0));
  };
  worth("agreement, by principle", by_principle_);
  worth(given_ ? "agreement with the given" : "agreement, all principles", overall_);
  return out;
}

std::string LabelReport::json() const {
  using json::Json;
  const auto worth = [](const Worth& w) {
    return Json{{"agreement", json::estimate(w.agreement())}, {"calibration_error", json::number(calibration_error(w.predictions))},
                {"n", w.predictions.size()}};
  };
  Json out;
  out["items"] = counts.items;
  out["pairs"] = counts.pairs;
  out["revisions"] = revisions;
  out["identical"] = counts.identical;
  out["unguided"] = counts.unguided;
  out["unparseable"] = counts.unparseable;
  out["failed"] = counts.failed;
  out["surety"] = json::estimate(mean(labels_));
  out["position_bias"] = bias_.empty() ? Json(nullptr) : json::estimate(mean(bias_));
  if (!bias_.empty()) out["order_decides"] = json::estimate(proportion(flips_, static_cast<std::int64_t>(bias_.size())));
  out["by_principle"] = worth(by_principle_);
  out["overall"] = worth(overall_);
  return json::dump(out);
}

}  // namespace precept
