#include "precept/revise/item_steps.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/model/await.h"
#include "precept/revise/compare_wording.h"
#include "precept/revise/verdicts.h"

namespace precept {
namespace {

tl::unexpected<Error> fail(const Error& error) { return tl::unexpected<Error>(error); }

// A model may stop in the middle of a character: what is not UTF-8 becomes U+FFFD, as in the exports.
// White space around a text is not part of it.
std::string tidy(std::string_view text) {
  const std::string valid = valid_utf8(text);
  const std::size_t begin = valid.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  return valid.substr(begin, valid.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<std::string> ids_of(const Principles& principles) {
  std::vector<std::string> ids;
  for (const Principle* principle : principles) ids.push_back(principle->id);
  return ids;
}

// Tier of a principle: 0 is the most important one; unnamed tiers come last.
std::size_t tier_of(const Constitution& constitution, const Principle& principle) {
  const auto& tiers = constitution.priorities;
  return static_cast<std::size_t>(std::find(tiers.begin(), tiers.end(), principle.priority) - tiers.begin());
}

GenerateRequest user_request(std::string content, int max_tokens, double temperature, RngKey key) {
  GenerateRequest request;
  request.messages = {{"user", std::move(content)}};
  request.sampling.max_tokens = max_tokens;
  request.sampling.temperature = temperature;
  request.key = key;
  return request;
}

}  // namespace

// --- the steps ---

Task<Result<Principles>> ItemSteps::select() {
  if (run_.options.selection == "random") {
    co_return run_.options.revise_compliant ? all() : random(0);
  }
  const Result<std::vector<Verdict>> verdicts = co_await ask(StepKind::kSelect, 0, all());
  if (!verdicts) co_return fail(verdicts.error());
  Principles selected;
  for (const Verdict& verdict : *verdicts) {
    if (verdict.value == Verdict::Value::kNo) continue;
    if (const Principle* principle = run_.constitution.find(verdict.principle)) selected.push_back(principle);
  }
  co_return selected;
}

Task<Status> ItemSteps::draft(int round) {
  Sampling sampling;
  sampling.max_tokens = run_.options.draft_max_tokens;
  sampling.temperature = run_.options.draft_temperature;
  sampling.top_p = run_.options.draft_top_p;
  Result<std::string> text = co_await write(StepKind::kDraft, round, draft_request(run_.templates, trace_.item.messages), sampling, {});
  if (!text) co_return fail(text.error());
  reply_ = std::move(*text);
  co_return Status{};
}

Status ItemSteps::given(int round, const std::string& text) {
  reply_ = tidy(text);
  const std::string inputs = sha256(text);
  const Result<const StepRecord*> stored = run_.log.recall(trace_, StepKind::kDraft, round, inputs);
  if (!stored) return tl::unexpected<Error>(stored.error());
  if (*stored) return {};
  StepRecord step;
  step.text = reply_;
  return keep(std::move(step), StepKind::kDraft, round, inputs, {}, run_.policy);
}

Task<Result<Judgment>> ItemSteps::judge(int round, Principles principles) {
  Judgment judgment;
  if (principles.empty()) co_return judgment;
  const Result<std::vector<Verdict>> verdicts = co_await ask(StepKind::kJudge, round, std::move(principles));
  if (!verdicts) co_return fail(verdicts.error());
  for (const Verdict& verdict : *verdicts) {
    if (verdict.value == Verdict::Value::kYes) judgment.violated.push_back(verdict);
    if (verdict.value == Verdict::Value::kUnparseable) judgment.unreadable = true;
  }
  co_return judgment;
}

Task<Status> ItemSteps::critique(int round, Principles principles) {
  Conversation messages = {
      {"user", critique_request(run_.templates, trace_.item.messages, reply_, principles)}};
  Sampling sampling;
  sampling.max_tokens = run_.options.critique_max_tokens;
  sampling.temperature = run_.options.critique_temperature;
  Result<std::string> text =
      co_await write(StepKind::kCritique, round, std::move(messages), sampling, std::move(principles));
  if (!text) co_return fail(text.error());
  critique_ = std::move(*text);
  co_return Status{};
}

Task<Status> ItemSteps::revise(int round, Principles principles) {
  Conversation messages = {
      {"user", revise_request(run_.templates, trace_.item.messages, reply_, principles, critique_)}};
  Sampling sampling;
  sampling.max_tokens = run_.options.revision_max_tokens;
  sampling.temperature = run_.options.revision_temperature;
  Result<std::string> text =
      co_await write(StepKind::kRevision, round, std::move(messages), sampling, std::move(principles));
  if (!text) co_return fail(text.error());
  reply_ = std::move(*text);
  co_return Status{};
}

Task<Result<Verdict>> ItemSteps::compare(int round, const Principle& principle, std::string_view first, std::string_view second, bool reasoning) {
  const CompareRequest wording = compare_request(trace_.item.messages, principle, first, second);
  Principles about;
  about.push_back(&principle);
  ScoreRequest questions;
  questions.messages.push_back({"user", wording.question});
  if (reasoning) {
    GenerateRequest request = user_request(wording.reasoning, run_.options.critique_max_tokens, run_.options.critique_temperature,
                                           key(StepKind::kReason, round));
    const Result<std::string> thought = co_await write(run_.judge, StepKind::kReason, round, std::move(request), about);
    if (!thought) co_return fail(thought.error());
    questions.messages[0].content = wording.reasoning;
    questions.messages.push_back({"assistant", *thought});
    questions.messages.push_back({"user", wording.conclusion});
  }
  ScoreQuestion letters;
  letters.options.emplace_back("A");
  letters.options.emplace_back("B");
  questions.questions.push_back(std::move(letters));
  GenerateRequest no_list;
  const Result<std::vector<Verdict>> verdicts = co_await answer(StepKind::kCompare, round, about, std::move(questions), std::move(no_list));
  if (!verdicts) co_return fail(verdicts.error());
  co_return verdicts->front();
}

// --- which principles ---

Principles ItemSteps::all() const {
  Principles principles;
  for (const Principle& principle : run_.constitution.principles) principles.push_back(&principle);
  return principles;
}

Principles ItemSteps::random(int round) const {
  Principles pool = all();
  Rng rng(key(StepKind::kSelect, round));
  const auto wanted = std::min(pool.size(), static_cast<std::size_t>(run_.options.principles_per_round));
  for (std::size_t i = 0; i < wanted; ++i) {  // the first steps of a shuffle
    std::swap(pool[i], pool[i + static_cast<std::size_t>(rng.below(pool.size() - i))]);
  }
  pool.resize(wanted);
  return pool;
}

Principles ItemSteps::most_important(const Judgment& judgment) const {
  std::vector<Verdict> violated = judgment.violated;
  const auto rank = [this](const Verdict& verdict) {
    const Principle& principle = *run_.constitution.find(verdict.principle);
    return std::tuple(!principle.hard, tier_of(run_.constitution, principle), -verdict.probability.value_or(0.0));
  };
  std::stable_sort(violated.begin(), violated.end(),
                   [&](const Verdict& a, const Verdict& b) { return rank(a) < rank(b); });
  Principles addressed;
  for (const Verdict& verdict : violated) {
    if (addressed.size() == static_cast<std::size_t>(run_.options.principles_per_round)) break;
    addressed.push_back(run_.constitution.find(verdict.principle));
  }
  return addressed;
}

Principles ItemSteps::unjudged(const Principles& selected, int round) const {
  if (run_.options.selection == "random") return random(round);
  Principles sorted = selected;
  std::stable_sort(sorted.begin(), sorted.end(), [this](const Principle* a, const Principle* b) {
    return std::tuple(!a->hard, tier_of(run_.constitution, *a)) < std::tuple(!b->hard, tier_of(run_.constitution, *b));
  });
  Principles addressed;
  const auto many = std::min(sorted.size(), static_cast<std::size_t>(run_.options.principles_per_round));
  for (std::size_t i = 0; i < many; ++i) {
    addressed.push_back(sorted[(static_cast<std::size_t>(round - 1) * many + i) % sorted.size()]);
  }
  return addressed;
}

// --- asking and remembering ---

RngKey ItemSteps::key(StepKind kind, int round) const {
  return {run_.options.seed, hash64(trace_.item.id), static_cast<std::uint32_t>(kind),
          static_cast<std::uint32_t>(round)};
}

Task<Result<std::string>> ItemSteps::write(StepKind kind, int round, Conversation messages, Sampling sampling,
                                           Principles principles) {
  GenerateRequest request;
  request.messages = std::move(messages);
  request.sampling = std::move(sampling);
  request.key = key(kind, round);
  co_return co_await write(run_.policy, kind, round, std::move(request), std::move(principles));
}

Task<Result<std::string>> ItemSteps::write(Model& model, StepKind kind, int round, GenerateRequest request, Principles principles) {
  std::string inputs = request_digest(request, model.info().digest);
  const Result<const StepRecord*> stored = run_.log.recall(trace_, kind, round, inputs);
  if (!stored) co_return fail(stored.error());
  if (*stored) co_return (*stored)->text;

  Result<Generation> answer = co_await generate(model, std::move(request));
  if (!answer) co_return fail(answer.error());
  StepRecord step;
  step.text = tidy(answer->text);
  step.cut = answer->finish == Finish::kLength;
  step.usage = answer->usage;
  if (!answer->logprobs.empty()) {
    double sum = 0;
    for (const float logprob : answer->logprobs) sum += logprob;
    step.logprob = sum;
  }
  std::string text = step.text;
  const Status kept = keep(std::move(step), kind, round, std::move(inputs), principles, model);
  if (!kept) co_return fail(kept.error());
  co_return text;
}

Task<Result<std::vector<Verdict>>> ItemSteps::ask(StepKind kind, int round, Principles principles) {
  const Templates& templates = run_.templates;
  const Conversation& messages = trace_.item.messages;
  const bool selecting = kind == StepKind::kSelect;
  ScoreRequest questions;
  GenerateRequest list;
  if (run_.judge.info().can_score) {
    questions = yes_no_questions(selecting ? select_request(templates, messages, principles)
                                           : judge_request(templates, messages, reply_, principles));
  } else {
    list = user_request(selecting ? select_list_request(templates, messages, principles)
                                  : judge_list_request(templates, messages, reply_, principles),
                        run_.options.list_max_tokens, 0.0, key(kind, round));
  }
  co_return co_await answer(kind, round, std::move(principles), std::move(questions), std::move(list));
}

Task<Result<std::vector<Verdict>>> ItemSteps::answer(StepKind kind, int round, Principles principles, ScoreRequest questions,
                                                     GenerateRequest list) {
  const std::string& digest = run_.judge.info().digest;
  const bool scores = run_.judge.info().can_score;
  std::string inputs = scores ? request_digest(questions, digest) : request_digest(list, digest);
  const Result<const StepRecord*> stored = run_.log.recall(trace_, kind, round, inputs);
  if (!stored) co_return fail(stored.error());
  if (*stored) {
    // The digest of the inputs vouches for the question, not for what the database says was answered.
    std::vector<std::string> asked = ids_of(principles), answered;
    for (const Verdict& verdict : (*stored)->verdicts) answered.push_back(verdict.principle);
    if (asked != answered) {
      co_return run_.log.refuse(trace_, kind, round, "has verdicts on other principles than it asks about",
                                "the run database is damaged: give another run folder");
    }
    co_return (*stored)->verdicts;
  }

  Result<StepRecord> step = failed("");
  if (scores) {
    step = co_await ask_scores(kind, principles, std::move(questions));
  } else {
    step = co_await ask_list(kind, principles, std::move(list));
  }
  if (!step) co_return fail(step.error());
  std::vector<Verdict> verdicts = step->verdicts;
  const Status kept = keep(std::move(*step), kind, round, std::move(inputs), principles, run_.judge);
  if (!kept) co_return fail(kept.error());
  co_return verdicts;
}

Task<Result<StepRecord>> ItemSteps::ask_scores(StepKind kind, Principles principles, ScoreRequest request) {
  double threshold = 0.5;
  if (kind == StepKind::kSelect) threshold = run_.options.select_threshold;
  if (kind == StepKind::kJudge) threshold = run_.options.violation_threshold;
  const Result<Scores> answer = co_await score(run_.judge, std::move(request));
  if (!answer) co_return fail(answer.error());
  Result<std::vector<Verdict>> verdicts = read_scores(*answer, principles, threshold);
  if (!verdicts) co_return fail(verdicts.error());
  StepRecord step;
  step.verdicts = std::move(*verdicts);
  step.usage = answer->usage;
  co_return step;
}

Task<Result<StepRecord>> ItemSteps::ask_list(StepKind kind, Principles principles, GenerateRequest request) {
  Result<Generation> answer = co_await generate(run_.judge, std::move(request));
  if (!answer) co_return fail(answer.error());
  StepRecord step;
  step.text = tidy(answer->text);
  step.verdicts = read_list(kind, step.text, principles);
  step.cut = answer->finish == Finish::kLength;
  step.usage = answer->usage;
  co_return step;
}

Status ItemSteps::keep(StepRecord step, StepKind kind, int round, std::string inputs, const Principles& principles,
                       const Model& model) {
  step.round = round;
  step.kind = kind;
  step.principles = ids_of(principles);
  step.inputs = std::move(inputs);
  step.seed = run_.options.seed;
  step.model = model.info().digest;
  return run_.log.keep(trace_, std::move(step));
}

}  // namespace precept
