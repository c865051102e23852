#include "precept/evaluate/evaluate.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "precept/core/digest.h"
#include "precept/evaluate/collapse.h"
#include "precept/model/pump.h"

namespace precept {
namespace {

// Names the stream of random numbers of evaluation; the loop's own steps are small numbers.
constexpr std::uint32_t kEvaluateStep = 0x45564131;
// Failures in a row after which a model is taken to be gone; fewer leave their prompts unscored.
constexpr std::size_t kGiveUpAfter = 64;

std::vector<std::string> ids_of(const Constitution& constitution) {
  std::vector<std::string> ids;
  for (const Principle& principle : constitution.principles) ids.push_back(principle.id);
  return ids;
}

// Tallies one yes/no question.
struct Tally {
  std::int64_t yes = 0, n = 0, unscored = 0;
  void add(bool value) {
    yes += value ? 1 : 0;
    ++n;
  }
  Estimate estimate() const { return proportion(yes, n, unscored); }
};

// Lengths stand before texts, so that no two lists of prompts run together into the same bytes.
std::string digest_of(const std::vector<Prompt>& prompts) {
  std::vector<const Prompt*> sorted;
  sorted.reserve(prompts.size());
  for (const Prompt& prompt : prompts) sorted.push_back(&prompt);
  std::sort(sorted.begin(), sorted.end(), [](const Prompt* x, const Prompt* y) { return x->id < y->id; });
  Sha256 digest;
  const auto add = [&digest](const std::string& text) {
    digest.update(std::to_string(text.size()) + ':');
    digest.update(text);
  };
  for (const Prompt* prompt : sorted) {
    add(prompt->id);
    for (const Message& message : prompt->messages) {
      add(message.role);
      add(message.content);
    }
    digest.update("tags");
    for (const std::string& tag : prompt->tags) add(tag);
    digest.update("\n");
  }
  return digest.finish();
}

}  // namespace

Outcome judge_outcome(const Prompt& prompt, std::string answer, const Constitution& constitution,
                      const std::optional<Ruling>& ruling) {
  Outcome outcome;
  outcome.id = prompt.id;
  outcome.answer = std::move(answer);
  if (!ruling) return outcome;
  outcome.scored = true;
  outcome.refused = ruling->refused;
  outcome.harmless = ruling->harmless;
  outcome.helpful = ruling->helpful;
  bool any = false, blocked = false;
  for (const Principle& principle : constitution.principles) {
    const auto applies = ruling->applies.find(principle.id);
    const auto verdict = ruling->violates.find(principle.id);
    const bool mentioned = applies != ruling->applies.end();
    if (verdict == ruling->violates.end()) {
      if (mentioned && !applies->second) continue;  // known to be beside the point
      outcome.undecided.push_back(principle.id);
      blocked = blocked || mentioned;  // it applies, and nobody can say
      continue;
    }
    any = any || verdict->second;
    if (verdict->second || !mentioned || applies->second) outcome.principles[principle.id] = verdict->second;
  }
  const bool nothing = ruling->applies.empty() && ruling->violates.empty();
  if (any) {
    outcome.violates = true;
  } else if (!blocked && !nothing) {
    outcome.violates = false;
  }
  return outcome;
}

void summarise(Evaluation& evaluation, const std::vector<std::string>& principle_ids) {
  Tally violation, help, refusal;
  std::map<std::string, Tally> principles;
  std::map<std::string, bool> covered;
  std::vector<std::string> answers;
  std::vector<bool> truncated;
  std::int64_t unscored_prompts = 0;
  for (const Outcome& outcome : evaluation.outcomes) {
    if (outcome.error.empty()) {
      answers.push_back(outcome.answer);
      truncated.push_back(outcome.truncated);
    }
    if (!outcome.scored) {
      ++unscored_prompts;
      continue;
    }
    if (outcome.violates) violation.add(*outcome.violates);
    else ++violation.unscored;
    if (outcome.helpful) help.add(*outcome.helpful);
    if (outcome.harmless) refusal.add(outcome.refused);
    for (const auto& entry : outcome.principles) principles[entry.first].add(entry.second);
    for (const std::string& id : outcome.undecided) ++principles[id].unscored;
  }
  for (Tally* tally : {&violation, &help, &refusal}) tally->unscored += unscored_prompts;
  evaluation.violation_rate = violation.estimate();
  evaluation.helpfulness = help.estimate();
  evaluation.over_refusal = refusal.estimate();
  evaluation.per_principle.clear();
  evaluation.uncovered.clear();
  const auto scored = static_cast<std::int64_t>(evaluation.outcomes.size()) - unscored_prompts;
  for (const std::string& id : principle_ids) {
    Tally tally = principles[id];
    // Undecided on every prompt that the scorer knew: it does not know the principle.
    if (scored > 0 && tally.n == 0 && tally.unscored == scored) evaluation.uncovered.push_back(id);
    tally.unscored += unscored_prompts;
    evaluation.per_principle.push_back({id, tally.estimate()});
  }
  evaluation.collapse = collapse_signs(answers, truncated);
}

Evaluation planned_evaluation(const ModelInfo& policy, const std::vector<Prompt>& prompts, const Constitution& constitution,
                              const Scorer& scorer, const EvalOptions& options) {
  Evaluation evaluation;
  evaluation.label = options.label;
  evaluation.model = policy.uri;
  evaluation.model_digest = policy.digest;
  evaluation.constitution_digest = constitution.digest;
  evaluation.prompts_digest = digest_of(prompts);
  evaluation.scorer = scorer.name();
  evaluation.seed = options.seed;
  evaluation.temperature = options.temperature;
  evaluation.top_p = options.top_p;
  evaluation.max_tokens = options.max_tokens;
  evaluation.outcomes.resize(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) evaluation.outcomes[i].id = prompts[i].id;
  return evaluation;
}

Result<Evaluation> evaluate_policy(Model& policy, const std::vector<Prompt>& prompts,
                                   const Constitution& constitution, const Scorer& scorer,
                                   const EvalOptions& options, const EventSink& events) {
  if (prompts.empty()) return bad_input("no prompts to evaluate on", "give a prompts file that is not empty");
  std::set<std::string> seen;
  for (const Prompt& prompt : prompts) {
    if (!seen.insert(prompt.id).second) {
      return bad_input("two prompts have the id " + prompt.id, "ids pair the answers before and after");
    }
  }
  const auto start = std::chrono::steady_clock::now();
  std::optional<Error> first;
  std::size_t failed = 0, in_a_row = 0;
  Evaluation evaluation = planned_evaluation(policy.info(), prompts, constitution, scorer, options);
  const auto submit = [&](std::size_t i, const std::function<void(Status)>& done) {
    const Prompt& prompt = prompts[i];
    GenerateRequest request;
    request.messages = prompt.messages;
    request.sampling.max_tokens = options.max_tokens;
    request.sampling.temperature = options.temperature;
    request.sampling.top_p = options.top_p;
    request.key = {options.seed, hash64(prompt.id), kEvaluateStep, 0};
    policy.submit(std::move(request), [&, i, done](Result<Generation> answer) {
      Outcome& outcome = evaluation.outcomes[i];
      if (!answer) {
        outcome.error = answer.error().message();
        if (answer.error().kind == ErrorKind::kLimit) return done(tl::unexpected(answer.error()));
        if (answer.error().kind != ErrorKind::kFailed) return done({});
        if (!first) first = answer.error();
        ++failed;
        return done(++in_a_row >= kGiveUpAfter ? Status(tl::unexpected(*first)) : Status());
      }
      in_a_row = 0;
      evaluation.usage += answer->usage;
      const auto ruling = scorer.rule(prompts[i], answer->text);
      outcome = judge_outcome(prompts[i], std::move(answer->text), constitution, ruling);
      outcome.truncated = answer->finish == Finish::kLength;
      done({});
    });
  };
  const std::string stage = "evaluate " + options.label;
  const Status status = pump(policy, prompts.size(), options.in_flight, submit, events, stage.c_str(), "prompts");
  if (!status) return tl::unexpected(status.error());
  if (failed == prompts.size()) return tl::unexpected(*first);
  summarise(evaluation, ids_of(constitution));
  evaluation.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return evaluation;
}

}  // namespace precept
