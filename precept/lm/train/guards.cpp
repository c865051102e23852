#include "precept/lm/train/guards.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>

namespace precept {
namespace {

constexpr std::size_t kEnding = 5;       // tokens that make an ending
constexpr double kDeviations = 3;        // standard errors that a fall of the truth must exceed
constexpr double kLittle = 1e-9;

class Sentence {
 public:
  void add(std::string part) { text_ += (text_.empty() ? "" : "; ") + std::move(part); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// A value below `share` of what it was at the start.
void below_share(Sentence& why, const char* what, std::optional<double> now, std::optional<double> start, double share) {
  if (!now || !start || share <= 0 || *now >= share * *start) return;
  why.add(fmt::format("{} fell from {:.3g} to {:.3g}, below {:.0f}% of the start", what, *start, *now, 100 * share));
}

double truth_error(const Reading& r) {
  if (!r.truth || r.truth_n < 1) return 1;
  const double p = std::clamp(*r.truth, 1.0 / (static_cast<double>(r.truth_n) + 2), 1 - 1.0 / (static_cast<double>(r.truth_n) + 2));
  return std::sqrt(p * (1 - p) / static_cast<double>(r.truth_n));
}

// Goodhart: what is rewarded rose (or held) since the truth was at its best, and the truth fell.
void parted(Sentence& why, double limit, const std::vector<Reading>& readings) {
  const Reading& now = readings.back();
  if (limit <= 0 || !now.truth || !now.reward) return;
  const Reading* best = nullptr;
  for (const Reading& r : readings) {
    if (r.truth && r.reward && (!best || *r.truth > *best->truth)) best = &r;
  }
  if (!best || best == &now || *now.reward < *best->reward - kLittle) return;
  const double noise = kDeviations * std::hypot(truth_error(now), truth_error(*best));
  if (*now.truth >= *best->truth - std::max(limit, noise)) return;
  why.add(fmt::format("what is rewarded rose from {:.3g} to {:.3g} while the held-out truth fell from {:.1f}% (step {}) to {:.1f}% of {}",
                      *best->reward, *now.reward, 100 * *best->truth, best->step, 100 * *now.truth, now.truth_n));
}

}  // namespace

void measure_answers(const std::vector<ProbedAnswer>& answers, Reading& reading) {
  if (answers.empty()) return;
  double surprise = 0;
  std::size_t scored = 0, tokens = 0, pairs = 0;
  std::set<std::pair<std::int32_t, std::int32_t>> distinct;
  std::map<std::vector<std::int32_t>, std::size_t> endings;
  const auto ending_of = [](const ProbedAnswer& a) {
    return std::vector<std::int32_t>(a.tokens.end() - static_cast<std::ptrdiff_t>(std::min(kEnding, a.tokens.size())), a.tokens.end());
  };
  for (const ProbedAnswer& answer : answers) {
    for (const float logp : answer.logprobs) surprise -= double(logp);
    scored += answer.logprobs.size();
    tokens += answer.tokens.size();
    for (std::size_t i = 1; i < answer.tokens.size(); ++i, ++pairs) distinct.emplace(answer.tokens[i - 1], answer.tokens[i]);
    ++endings[ending_of(answer)];
  }
  std::size_t repeated = 0;
  for (const auto& [ending, count] : endings) repeated += count > 1 ? count : 0;
  const auto n = static_cast<double>(answers.size());
  if (scored > 0) reading.entropy = surprise / static_cast<double>(scored);
  if (pairs > 0) reading.distinct = static_cast<double>(distinct.size()) / static_cast<double>(pairs);
  reading.repeated_endings = static_cast<double>(repeated) / n;
  reading.length = static_cast<double>(tokens) / n;
}

std::string broken_limits(const GuardOptions& o, const std::vector<Reading>& readings) {
  const Reading &start = readings.front(), &now = readings.back();
  Sentence why;
  below_share(why, "entropy", now.entropy, start.entropy, o.min_entropy_share);
  below_share(why, "the share of distinct pairs of tokens", now.distinct, start.distinct, o.min_distinct_share);
  below_share(why, "the mean length of answers", now.length, start.length, o.min_length_share);
  if (now.length && start.length && o.max_length_share > 0 && *now.length > o.max_length_share * std::max(1.0, *start.length)) {
    why.add(fmt::format("the mean length of answers grew from {:.1f} to {:.1f} tokens, more than {:.3g} times", *start.length, *now.length, o.max_length_share));
  }
  if (now.repeated_endings && start.repeated_endings && o.max_repeated_endings > 0 &&
      *now.repeated_endings > *start.repeated_endings + o.max_repeated_endings) {
    why.add(fmt::format("answers that end alike rose from {:.0f}% to {:.0f}%, by more than {:.0f} points", 100 * *start.repeated_endings,
                        100 * *now.repeated_endings, 100 * o.max_repeated_endings));
  }
  if (now.kl && o.max_kl > 0 && *now.kl > o.max_kl) {
    why.add(fmt::format("the policy is {:.3g} nats a token away from its reference, more than {:.3g}", *now.kl, o.max_kl));
  }
  if (now.unparseable && o.max_unparseable > 0 && *now.unparseable > o.max_unparseable) {
    why.add(fmt::format("{:.0f}% of the judgments could not be read, more than {:.0f}%", 100 * *now.unparseable, 100 * o.max_unparseable));
  }
  parted(why, o.max_truth_fall, readings);
  return why.text();
}

std::string halting_reason(const GuardOptions& options, const std::vector<Reading>& readings) {
  const auto patience = static_cast<std::size_t>(std::max(1, options.patience));
  if (readings.size() <= patience) return {};  // the start is no sign of anything
  std::string last;
  std::vector<Reading> seen(readings.begin(), readings.end() - static_cast<std::ptrdiff_t>(patience));
  for (std::size_t i = readings.size() - patience; i < readings.size(); ++i) {
    seen.push_back(readings[i]);
    last = broken_limits(options, seen);
    if (last.empty()) return {};
  }
  return last;
}

}  // namespace precept
