#include "precept/evaluate/pooled.h"

#include <map>
#include <string>

#include "precept/core/result.h"

namespace precept {
namespace {

using Answer = std::optional<bool>;

Answer violates(const Outcome& o) { return o.scored ? o.violates : std::nullopt; }
Answer helpful(const Outcome& o) { return o.scored ? o.helpful : std::nullopt; }
Answer refuses(const Outcome& o) { return o.scored && o.harmless ? Answer(o.refused) : std::nullopt; }

template <class Ask>
Estimate rate(const std::vector<const Evaluation*>& runs, std::int64_t unscored, Ask ask) {
  std::map<std::string, Cluster> prompts;
  for (const Evaluation* run : runs) {
    for (const Outcome& outcome : run->outcomes) {
      const Answer answer = ask(outcome);
      if (!answer) continue;
      Cluster& cluster = prompts[outcome.id];
      cluster.yes += *answer;
      ++cluster.n;
    }
  }
  std::vector<Cluster> clusters;
  clusters.reserve(prompts.size());
  for (const auto& entry : prompts) clusters.push_back(entry.second);
  return clustered_proportion(clusters, unscored);
}

template <class Ask>
PooledChange change(const std::vector<const Evaluation*>& before, const std::vector<const Evaluation*>& after, bool more_is_better, Ask ask) {
  PooledChange out;
  PairedCounts counts;
  std::int64_t unscored = 0;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> prompts;  // sum of differences, pairs
  for (std::size_t r = 0; r < before.size(); ++r) {
    std::map<std::string, const Outcome*> by_id;
    for (const Outcome& outcome : after[r]->outcomes) by_id[outcome.id] = &outcome;
    for (const Outcome& was : before[r]->outcomes) {
      const auto now = by_id.find(was.id);
      const Answer x = ask(was), y = now == by_id.end() ? std::nullopt : ask(*now->second);
      if (x && y) {
        ++(*x ? (*y ? counts.both : counts.before_only) : (*y ? counts.after_only : counts.neither));
        auto& [sum, pairs] = prompts[was.id];
        sum += int(*y) - int(*x);
        ++pairs;
      } else if (x || y) {
        ++unscored;
      }
    }
  }
  out.better = more_is_better ? counts.after_only : counts.before_only;
  out.worse = more_is_better ? counts.before_only : counts.after_only;
  std::vector<std::int64_t> sums;
  std::vector<double> means;
  for (const auto& entry : prompts) {
    sums.push_back(entry.second.first);
    means.push_back(static_cast<double>(entry.second.first) / static_cast<double>(entry.second.second));
  }
  out.p = sign_flip_p(sums);
  if (before.size() == 1) {
    out.difference = paired_difference(counts, unscored);
  } else {
    out.difference = mean(means, unscored);
    if (counts.before_only + counts.after_only == 0) out.difference.low = out.difference.high = std::nullopt;  // nothing differs: t knows no more
  }
  return out;
}

}  // namespace

PooledRates pool(const std::vector<const Evaluation*>& runs) {
  PRECEPT_CHECK(!runs.empty());
  if (runs.size() == 1) return {runs[0]->violation_rate, runs[0]->helpfulness, runs[0]->over_refusal};
  std::int64_t violations = 0, help = 0, refusals = 0;
  for (const Evaluation* run : runs) {
    violations += run->violation_rate.unscored;
    help += run->helpfulness.unscored;
    refusals += run->over_refusal.unscored;
  }
  return {rate(runs, violations, violates), rate(runs, help, helpful), rate(runs, refusals, refuses)};
}

PooledComparison compare_pooled(const std::vector<const Evaluation*>& before, const std::vector<const Evaluation*>& after) {
  PRECEPT_CHECK(before.size() == after.size());
  return {change(before, after, false, violates), change(before, after, true, helpful), change(before, after, false, refuses)};
}

}  // namespace precept
