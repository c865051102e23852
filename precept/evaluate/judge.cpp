#include "precept/evaluate/judge.h"

#include <cmath>
#include <map>

#include "precept/core/io.h"
#include "precept/evaluate/json.h"
#include "precept/model/pump.h"

namespace precept {
namespace {

// One question: what the judge said (nullopt: could not be read), and the truth.
struct Reply {
  std::string principle;
  std::optional<double> probability;
  bool truth = false;
};

// What to ask about one case.
struct Plan {
  std::size_t index = 0;               // of the case
  bool judging = false;                // else selecting
  JudgeRequests::Principles principles;
  std::vector<bool> truth;
};

StepQuality quality(const std::vector<Reply>& replies, const Constitution& constitution) {
  StepQuality q;
  std::vector<Prediction> predictions;
  std::map<std::string, std::pair<Confusion, std::int64_t>> by_principle;  // with the number unread
  std::int64_t unread = 0, uncertain = 0;
  std::map<std::string, std::vector<Prediction>> of;
  for (const Reply& reply : replies) {
    auto& principle = by_principle[reply.principle];
    if (!reply.probability) {
      ++unread;
      ++principle.second;
      continue;
    }
    predictions.push_back({*reply.probability, reply.truth});
    of[reply.principle].push_back(predictions.back());
    uncertain += is_uncertain(*reply.probability) ? 1 : 0;
  }
  const Confusion c = confusion(predictions);
  q.accuracy = accuracy(c, unread);
  q.precision = precision(c, unread);
  q.recall = recall(c, unread);
  q.false_alarms = false_positive_rate(c, unread);
  q.ece = calibration_error(predictions);
  q.brier = brier(predictions);
  q.auroc = auroc(predictions);
  q.unparseable = proportion(unread, static_cast<std::int64_t>(replies.size()));
  q.uncertain = proportion(uncertain, static_cast<std::int64_t>(predictions.size()), unread);
  q.reliability = reliability(predictions);
  for (const Principle& principle : constitution.principles) {
    const auto it = by_principle.find(principle.id);
    if (it == by_principle.end()) continue;
    q.per_principle.emplace_back(principle.id, accuracy(confusion(of[principle.id]), it->second.second));
  }
  return q;
}

std::vector<Plan> make_plans(const std::vector<JudgeCase>& cases, const Constitution& constitution,
                             const Scorer& scorer, std::int64_t& unscored) {
  std::vector<Plan> plans;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto ruling = scorer.rule(cases[i].prompt, cases[i].answer);
    if (!ruling) {
      ++unscored;
      continue;
    }
    Plan select{i, false, {}, {}}, judge{i, true, {}, {}};
    for (const Principle& principle : constitution.principles) {
      const auto applies = ruling->applies.find(principle.id);
      if (applies == ruling->applies.end()) continue;
      select.principles.push_back(&principle);
      select.truth.push_back(applies->second);
      const auto violates = ruling->violates.find(principle.id);
      if (!applies->second || violates == ruling->violates.end()) continue;
      judge.principles.push_back(&principle);
      judge.truth.push_back(violates->second);
    }
    for (Plan* plan : {&select, &judge}) {
      if (!plan->principles.empty()) plans.push_back(std::move(*plan));
    }
  }
  return plans;
}

void keep(const Plan& plan, const std::vector<std::optional<double>>& read, std::vector<Reply>& replies) {
  for (std::size_t k = 0; k < plan.principles.size(); ++k) {
    std::optional<double> p = k < read.size() ? read[k] : std::nullopt;
    if (p && !(*p >= 0 && *p <= 1)) p.reset();
    replies.push_back({plan.principles[k]->id, p, plan.truth[k]});
  }
}

StepQuality read_step(const json::Json& value) {
  StepQuality q;
  q.accuracy = json::get_estimate(value, "accuracy");
  q.precision = json::get_estimate(value, "precision");
  q.recall = json::get_estimate(value, "recall");
  q.false_alarms = json::get_estimate(value, "false_alarms");
  q.ece = json::get_number(value, "ece");
  q.brier = json::get_number(value, "brier");
  q.auroc = json::get_number(value, "auroc");
  q.unparseable = json::get_estimate(value, "unparseable");
  q.uncertain = json::get_estimate(value, "uncertain");
  if (!value.is_object()) return q;
  if (const auto it = value.find("reliability"); it != value.end() && it->is_array()) {
    for (const json::Json& entry : *it) {
      ReliabilityBin bin;
      bin.low = json::get_number(entry, "low").value_or(0);
      bin.high = json::get_number(entry, "high").value_or(0);
      bin.n = json::get_integer(entry, "n").value_or(0);
      bin.positive = json::get_integer(entry, "positive").value_or(0);
      bin.mean_probability = json::get_number(entry, "mean_probability").value_or(0);
      q.reliability.push_back(bin);
    }
  }
  if (const auto it = value.find("per_principle"); it != value.end() && it->is_object()) {
    for (const auto& entry : it->items()) {
      q.per_principle.emplace_back(entry.key(), json::get_estimate(*it, entry.key().c_str()));
    }
  }
  return q;
}

}  // namespace

std::optional<double> yes_probability(const std::vector<double>& logprobs) {
  if (logprobs.size() != 2 || std::isnan(logprobs[0]) || std::isnan(logprobs[1])) return std::nullopt;
  if (std::isinf(logprobs[0]) && std::isinf(logprobs[1])) return std::nullopt;
  return 1 / (1 + std::exp(logprobs[1] - logprobs[0]));
}

Result<JudgeQuality> evaluate_judge(Model& judge, const std::vector<JudgeCase>& cases,
                                    const Constitution& constitution, const Scorer& scorer,
                                    const JudgeRequests& requests, const EventSink& events, int in_flight) {
  JudgeQuality out;
  out.model = judge.info().uri;
  out.cases = static_cast<std::int64_t>(cases.size());
  const std::vector<Plan> plans = make_plans(cases, constitution, scorer, out.unscored);
  const bool scores = judge.info().can_score;
  if (scores ? !(requests.select && requests.judge)
             : !(requests.select_text && requests.judge_text && requests.read)) {
    return bad_input("this model cannot be asked to judge: it gives no scores",
                     "use a judge that scores, such as a checkpoint folder");
  }
  std::vector<std::vector<Reply>> replies(plans.size());  // by plan: the order of answers does not matter
  const auto after = [](const Error& error) {
    return error.kind == ErrorKind::kBadInput ? Status() : Status(tl::unexpected(error));
  };
  const auto submit = [&](std::size_t i, const std::function<void(Status)>& done) {
    const Plan& plan = plans[i];
    const JudgeCase& one = cases[plan.index];
    if (!scores) {
      auto request = plan.judging ? requests.judge_text(one.prompt, one.answer, plan.principles)
                                  : requests.select_text(one.prompt, plan.principles);
      judge.submit(std::move(request), [&, i, done](Result<Generation> answer) {
        const auto read = answer ? requests.read(answer->text, plans[i].judging, plans[i].principles)
                                 : std::vector<std::optional<double>>{};
        keep(plans[i], read, replies[i]);
        done(answer ? Status() : after(answer.error()));
      });
      return;
    }
    auto request = plan.judging ? requests.judge(one.prompt, one.answer, plan.principles)
                                : requests.select(one.prompt, plan.principles);
    judge.submit(std::move(request), [&, i, done](Result<Scores> answer) {
      std::vector<std::optional<double>> read;
      if (answer) {
        for (const auto& logprobs : answer->logprobs) read.push_back(yes_probability(logprobs));
      }
      keep(plans[i], read, replies[i]);
      done(answer ? Status() : after(answer.error()));
    });
  };
  const Status status = pump(judge, plans.size(), in_flight, submit, events, "evaluate judge", "requests");
  if (!status) return tl::unexpected(status.error());
  std::vector<Reply> selection, judgment;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    auto& to = plans[i].judging ? judgment : selection;
    to.insert(to.end(), replies[i].begin(), replies[i].end());
  }
  out.selection = quality(selection, constitution);
  out.judgment = quality(judgment, constitution);
  return out;
}

std::string to_json(const JudgeQuality& q) { return json::dump(json::judge_quality(q)) + "\n"; }

Result<JudgeQuality> load_judge_quality(const std::string& path) {
  const auto value = json::load(path);
  if (!value) return tl::unexpected(value.error());
  if (!value->is_object() || !value->contains("selection") || !value->contains("judgment")) {
    return bad_input("not a judge's quality: it has no selection or judgment",
                     "name a file that precept eval wrote", path);
  }
  JudgeQuality q;
  q.model = json::get_text(*value, "model").value_or("");
  q.cases = json::get_integer(*value, "cases").value_or(0);
  q.unscored = json::get_integer(*value, "unscored").value_or(0);
  q.selection = read_step((*value)["selection"]);
  q.judgment = read_step((*value)["judgment"]);
  return q;
}

}  // namespace precept
