#include "precept/evaluate/compare.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "precept/evaluate/json.h"

namespace precept {
namespace {

using Answer = std::optional<bool>;  // of one outcome; nullopt: not asked or unscored
// Of the first outcome; the second is the other side's of the same prompt.
using Ask = std::function<Answer(const Outcome&, const Outcome&)>;
using Pairs = std::vector<std::pair<const Outcome*, const Outcome*>>;

Answer violates(const Outcome& o, const Outcome&) { return o.violates; }
Answer helpful(const Outcome& o, const Outcome&) { return o.helpful; }
Answer refuses_harmless(const Outcome& o, const Outcome&) {
  return o.scored && o.harmless ? Answer(o.refused) : Answer();
}

Answer breaks(const std::string& principle, const Outcome& o, const Outcome& other) {
  if (const auto it = o.principles.find(principle); it != o.principles.end()) return it->second;
  const bool undecided = std::find(o.undecided.begin(), o.undecided.end(), principle) != o.undecided.end();
  const bool beside = o.scored && !undecided;  // the scorer looked, and the principle is not in question
  return beside && other.principles.count(principle) > 0 ? Answer(false) : Answer();
}

PairedRate pair_up(std::string id, bool more_is_better, const Pairs& pairs, std::int64_t unmatched,
                   const Ask& ask) {
  PairedRate rate;
  rate.id = std::move(id);
  rate.more_is_better = more_is_better;
  std::int64_t unscored = unmatched;
  for (const auto& entry : pairs) {
    const Answer before = ask(*entry.first, *entry.second), after = ask(*entry.second, *entry.first);
    if (before && after) {
      ++(*before ? (*after ? rate.counts.both : rate.counts.before_only)
                 : (*after ? rate.counts.after_only : rate.counts.neither));
    } else if (before || after) {
      ++unscored;
    }
  }
  rate.difference = paired_difference(rate.counts, unscored);
  rate.p = mcnemar_p(rate.counts);
  return rate;
}

void adjust(const std::vector<PairedRate*>& rates) {
  std::vector<std::optional<double>> p;
  p.reserve(rates.size());
  for (const PairedRate* rate : rates) p.push_back(rate->p);
  const auto adjusted = holm(p);
  for (std::size_t i = 0; i < rates.size(); ++i) rates[i]->p_holm = adjusted[i];
}

// What of the prompts differs, or nothing. Ids first: they tell a person more than a digest.
std::string other_prompts(const Evaluation& before, const Evaluation& after) {
  std::set<std::string> ids;
  for (const Outcome& outcome : before.outcomes) ids.insert(outcome.id);
  std::size_t common = 0;
  for (const Outcome& outcome : after.outcomes) common += ids.count(outcome.id);
  if (common != before.outcomes.size() || common != after.outcomes.size()) {
    return fmt::format("{} and {}, {} ids in common", before.outcomes.size(), after.outcomes.size(), common);
  }
  if (before.prompts_digest != after.prompts_digest) return "the same ids with other texts or tags";
  return {};
}

json::Json side(const Evaluation& e, const std::string& name) {
  return {{"evaluation", name},
          {"label", e.label},
          {"model", e.model},
          {"model_digest", e.model_digest},
          {"violation_rate", json::estimate(e.violation_rate)},
          {"helpfulness", json::estimate(e.helpfulness)},
          {"over_refusal", json::estimate(e.over_refusal)}};
}

}  // namespace

Comparison compare(const Evaluation& before, const Evaluation& after) {
  std::map<std::string, const Outcome*> by_id;
  for (const Outcome& outcome : after.outcomes) by_id[outcome.id] = &outcome;
  Pairs pairs;
  for (const Outcome& outcome : before.outcomes) {
    const auto it = by_id.find(outcome.id);
    if (it != by_id.end()) pairs.emplace_back(&outcome, it->second);
  }
  const auto unmatched =
      static_cast<std::int64_t>(before.outcomes.size() + after.outcomes.size() - 2 * pairs.size());
  Comparison c;
  c.violation_rate = pair_up("violation_rate", false, pairs, unmatched, violates);
  c.helpfulness = pair_up("helpfulness", true, pairs, unmatched, helpful);
  c.over_refusal = pair_up("over_refusal", false, pairs, unmatched, refuses_harmless);
  adjust({&c.violation_rate, &c.helpfulness, &c.over_refusal});
  for (const PrincipleRate& principle : before.per_principle) {
    const std::string& id = principle.id;
    c.per_principle.push_back(
        pair_up(id, false, pairs, unmatched,
                [&id](const Outcome& o, const Outcome& other) { return breaks(id, o, other); }));
  }
  std::vector<PairedRate*> rates;
  for (PairedRate& rate : c.per_principle) rates.push_back(&rate);
  adjust(rates);
  return c;
}

const char* standing(const PairedRate& rate, std::optional<double> p) {
  if (!p || !rate.difference.value) return "undefined";
  if (*p >= kTestLevel) return "no clear difference";
  return (*rate.difference.value > 0) == rate.more_is_better ? "better" : "worse";
}
const char* overall_standing(const PairedRate& rate) { return standing(rate, rate.p); }
const char* principle_standing(const PairedRate& rate) { return standing(rate, rate.p_holm); }

Status comparable(const Evaluation& before, const std::string& before_name, const Evaluation& after,
                  const std::string& after_name) {
  for (const auto& [evaluation, name] : {std::pair(&before, &before_name), std::pair(&after, &after_name)}) {
    if (evaluation->prompts_digest.empty() || evaluation->scorer.empty() ||
        evaluation->constitution_digest.empty()) {
      return bad_input("this evaluation does not tell its prompts, scorer and constitution",
                       "it was written by an earlier precept: evaluate again", *name);
    }
  }
  if (const std::string what = other_prompts(before, after); !what.empty()) {
    return bad_input("the prompts differ from those of " + after_name + ": " + what,
                     "evaluate both on the same prompts (--prompts, or --held-out and --seed)", before_name);
  }
  if (before.scorer != after.scorer) {
    return bad_input(
        "the scorer differs from that of " + after_name + ": " + before.scorer + " and " + after.scorer,
        "evaluate both with this precept and the same --world", before_name);
  }
  if (before.constitution_digest != after.constitution_digest) {
    return bad_input("the constitution differs from that of " + after_name + ": " +
                         before.constitution_digest.substr(0, 12) + " and " +
                         after.constitution_digest.substr(0, 12),
                     "evaluate both by the same --constitution, under another --label", before_name);
  }
  return {};
}

std::vector<std::string> differing_settings(const Evaluation& before, const Evaluation& after) {
  std::vector<std::string> out;
  const auto add = [&out](const char* name, auto was, auto now) {
    if (was != now) out.push_back(fmt::format("{}: {} before, {} after", name, was, now));
  };
  add("seed", before.seed, after.seed);
  add("temperature", before.temperature, after.temperature);
  add("top_p", before.top_p, after.top_p);
  add("max_tokens", before.max_tokens, after.max_tokens);
  return out;
}

std::string comparison_json(const Evaluation& before, const std::string& before_name, const Evaluation& after,
                            const std::string& after_name) {
  json::Json out = {{"before", side(before, before_name)},
                    {"after", side(after, after_name)},
                    {"prompts", after.outcomes.size()},
                    {"prompts_digest", after.prompts_digest},
                    {"scorer", after.scorer},
                    {"constitution_digest", after.constitution_digest},
                    {"differing_settings", differing_settings(before, after)},
                    {"level", kTestLevel}};
  const json::Json rates = json::comparison(compare(before, after));
  for (const auto& entry : rates.items()) out[entry.key()] = entry.value();
  return json::dump(out) + "\n";
}

}  // namespace precept
