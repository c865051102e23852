#include "precept/evaluate/pair_panel.h"

#include <algorithm>
#include <cmath>

#include "precept/core/digest.h"
#include "precept/evaluate/json.h"
#include "precept/model/pump.h"

namespace precept {
namespace {

using Principles = JudgeRequests::Principles;
using Done = std::function<void(Status)>;

constexpr double kApplies = 0.5;  // as in ReviewOptions

// A pair, the better answer first.
struct Work {
  Prompt prompt;
  std::string better, worse;
  bool told = true;                  // the label says which is better
  Principles applying;
  std::optional<double> kept[2];     // by the better answer and the worse: the least probability that a principle is kept
};

// What concerns one pair alone (it is too long, say) leaves it unscored; the rest ends the reading.
bool lost(const Result<Scores>& answer, const Done& done) {
  if (answer) return false;
  done(answer.error().kind == ErrorKind::kBadInput ? Status() : Status(tl::unexpected(answer.error())));
  return true;
}

std::optional<bool> higher(std::optional<double> first, std::optional<double> second) {
  if (!first || !second || !std::isfinite(*first) || !std::isfinite(*second) || *first == *second) return std::nullopt;
  return *first > *second;
}

std::vector<Work> work_of(const std::vector<AnswerPair>& pairs) {
  std::vector<Work> works;
  for (const AnswerPair& pair : pairs) {
    Work work{{pair.id, pair.messages, {}}, pair.chosen, pair.rejected, pair.label != 0.5, {}, {}};
    if (pair.label < 0.5) std::swap(work.better, work.worse);
    works.push_back(std::move(work));
  }
  return works;
}

std::string digest_of(const std::vector<AnswerPair>& pairs) {
  Sha256 digest;
  const auto add = [&digest](const std::string& text) { digest.update(std::to_string(text.size()) + " " + text); };
  for (const AnswerPair& pair : pairs) {
    for (const Message& message : pair.messages) add(message.role), add(message.content);
    add(pair.chosen), add(pair.rejected), add(std::to_string(pair.label));
  }
  return digest.finish();
}

Status ask_likelihood(Model& model, const std::vector<Work>& works, std::vector<PairOutcome>& outcomes, const EventSink& events, int in_flight) {
  const auto submit = [&](std::size_t i, const Done& done) {
    ScoreRequest request;
    request.messages = works[i].prompt.messages;
    request.questions = {{"", {works[i].better, works[i].worse}}};
    model.submit(std::move(request), [&, i, done](Result<Scores> answer) {
      if (lost(answer, done)) return;
      const Work& work = works[i];
      if (work.told && answer->logprobs.size() == 1 && answer->logprobs[0].size() == 2 && !work.better.empty() && !work.worse.empty()) {
        outcomes[i].prefers = higher(answer->logprobs[0][0] / static_cast<double>(work.better.size()),
                                     answer->logprobs[0][1] / static_cast<double>(work.worse.size()));
      }
      done({});
    });
  };
  return pump(model, works.size(), in_flight, submit, events, "panel: likelihood", "pairs");
}

Status ask_selection(Model& model, std::vector<Work>& works, const Constitution& constitution, const JudgeRequests& requests, const EventSink& events,
                     int in_flight) {
  Principles all;
  for (const Principle& principle : constitution.principles) all.push_back(&principle);
  const auto submit = [&](std::size_t i, const Done& done) {
    model.submit(requests.select(works[i].prompt, all), [&, i, done](Result<Scores> answer) {
      if (lost(answer, done)) return;
      for (std::size_t p = 0; p < all.size() && p < answer->logprobs.size(); ++p) {
        if (yes_probability(answer->logprobs[p]).value_or(0) >= kApplies) works[i].applying.push_back(all[p]);
      }
      done({});
    });
  };
  return pump(model, works.size(), in_flight, submit, events, "panel: selection", "pairs");
}

Status ask_judgment(Model& model, std::vector<Work>& works, const JudgeRequests& requests, const EventSink& events, int in_flight) {
  const auto submit = [&](std::size_t k, const Done& done) {
    Work& work = works[k / 2];
    if (work.applying.empty()) return done({});
    model.submit(requests.judge(work.prompt, k % 2 == 0 ? work.better : work.worse, work.applying), [&work, k, done](Result<Scores> answer) {
      if (lost(answer, done)) return;
      std::optional<double> least = 1.0;
      for (const auto& logprobs : answer->logprobs) {
        const auto broken = yes_probability(logprobs);
        least = broken && least ? std::optional(std::min(*least, 1 - *broken)) : std::nullopt;
      }
      work.kept[k % 2] = least;
      done({});
    });
  };
  return pump(model, 2 * works.size(), in_flight, submit, events, "panel: judgment", "answers");
}

using Ask = std::optional<bool> PairOutcome::*;

Estimate rate(const std::vector<PairOutcome>& outcomes, Ask ask) {
  std::int64_t yes = 0, n = 0;
  for (const PairOutcome& outcome : outcomes) {
    n += (outcome.*ask).has_value();
    yes += (outcome.*ask).value_or(false);
  }
  return proportion(yes, n, static_cast<std::int64_t>(outcomes.size()) - n);
}

PairedRate paired(const char* id, const PairReading& before, const PairReading& after, Ask ask) {
  PairedRate rate;
  rate.id = id;
  rate.more_is_better = true;
  std::int64_t unscored = 0;
  for (std::size_t i = 0; i < std::min(before.outcomes.size(), after.outcomes.size()); ++i) {
    const auto was = before.outcomes[i].*ask, is = after.outcomes[i].*ask;
    if (was && is) {
      ++(*was ? (*is ? rate.counts.both : rate.counts.before_only) : (*is ? rate.counts.after_only : rate.counts.neither));
    } else {
      unscored += was || is;
    }
  }
  rate.difference = paired_difference(rate.counts, unscored);
  rate.p = mcnemar_p(rate.counts);
  return rate;
}

json::Json answer_json(const std::optional<bool>& answer) { return answer ? json::Json(*answer) : json::Json(nullptr); }

}  // namespace

Estimate PairReading::preference() const { return rate(outcomes, &PairOutcome::prefers); }
Estimate PairReading::judgment() const { return rate(outcomes, &PairOutcome::judges); }

Result<PairReading> evaluate_pairs(Model& model, const std::vector<AnswerPair>& pairs, const Constitution& constitution,
                                   const JudgeRequests& requests, const EventSink& events, int in_flight) {
  if (!model.info().can_score || model.info().words_only) {
    return bad_input("this model gives no scores of whole texts, which labelled pairs are read with", "use a checkpoint folder");
  }
  PairReading reading{model.info().digest, digest_of(pairs), std::vector<PairOutcome>(pairs.size())};
  std::vector<Work> works = work_of(pairs);
  if (const Status asked = ask_likelihood(model, works, reading.outcomes, events, in_flight); !asked) return tl::unexpected(asked.error());
  if (const Status asked = ask_selection(model, works, constitution, requests, events, in_flight); !asked) return tl::unexpected(asked.error());
  if (const Status asked = ask_judgment(model, works, requests, events, in_flight); !asked) return tl::unexpected(asked.error());
  for (std::size_t i = 0; i < works.size(); ++i) {
    if (works[i].told) reading.outcomes[i].judges = higher(works[i].kept[0], works[i].kept[1]);
  }
  return reading;
}

std::vector<PairedRate> compare(const PairReading& before, const PairReading& after) {
  return {paired("preference", before, after, &PairOutcome::prefers), paired("judgment", before, after, &PairOutcome::judges)};
}

std::string to_json(const PairReading& reading) {
  json::Json out = {{"model_digest", reading.model_digest}, {"pairs_digest", reading.pairs_digest},
                    {"preference", json::estimate(reading.preference())}, {"judgment", json::estimate(reading.judgment())}};
  json::Json& outcomes = out["outcomes"] = json::Json::array();
  for (const PairOutcome& outcome : reading.outcomes) outcomes.push_back({{"prefers", answer_json(outcome.prefers)}, {"judges", answer_json(outcome.judges)}});
  return json::dump(out) + "\n";
}

Result<PairReading> load_pair_reading(const std::string& path) {
  const auto value = json::load(path);
  if (!value) return tl::unexpected(value.error());
  PairReading reading{json::get_text(*value, "model_digest").value_or(""), json::get_text(*value, "pairs_digest").value_or(""), {}};
  for (const json::Json& outcome : value->value("outcomes", json::Json::array())) {
    reading.outcomes.push_back({json::get_bool(outcome, "prefers"), json::get_bool(outcome, "judges")});
  }
  return reading;
}

}  // namespace precept
