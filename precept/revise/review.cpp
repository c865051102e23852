#include "precept/revise/review.h"

#include <algorithm>
#include <utility>

#include "precept/model/await.h"
#include "precept/revise/verdicts.h"

namespace precept {
namespace {

Task<Result<std::vector<Verdict>>> ask(Model& judge, StepKind kind, SplitRequest questions, std::string list, Principles principles,
                                       ReviewOptions options, Usage& usage) {
  if (judge.info().can_score) {
    const Result<Scores> answer = co_await score(judge, yes_no_questions(std::move(questions)));
    if (!answer) co_return tl::unexpected<Error>(answer.error());
    usage += answer->usage;
    co_return read_scores(*answer, principles, kind == StepKind::kSelect ? options.select_threshold : options.violation_threshold);
  }
  GenerateRequest request;
  request.messages = {{"user", std::move(list)}};
  request.sampling.max_tokens = options.list_max_tokens;
  request.sampling.temperature = 0;
  const Result<Generation> answer = co_await generate(judge, std::move(request));
  if (!answer) co_return tl::unexpected<Error>(answer.error());
  usage += answer->usage;
  co_return read_list(kind, answer->text, principles);
}

}  // namespace

bool Review::violates() const {
  return std::any_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.value == Verdict::Value::kYes; });
}

bool Review::unreadable() const {
  return std::any_of(verdicts.begin(), verdicts.end(), [](const Verdict& v) { return v.value == Verdict::Value::kUnparseable; });
}

Task<Result<Review>> review(Model& judge, const Constitution& constitution, const Templates& templates, Conversation messages,
                            std::string reply, ReviewOptions options) {
  Review out;
  Principles all;
  for (const Principle& principle : constitution.principles) all.push_back(&principle);
  const Result<std::vector<Verdict>> selected =
      co_await ask(judge, StepKind::kSelect, select_request(templates, messages, all), select_list_request(templates, messages, all),
                   all, options, out.usage);
  if (!selected) co_return tl::unexpected<Error>(selected.error());
  Principles applying;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if ((*selected)[i].value != Verdict::Value::kNo) applying.push_back(all[i]);
  }
  if (applying.empty()) co_return out;
  Result<std::vector<Verdict>> judged =
      co_await ask(judge, StepKind::kJudge, judge_request(templates, messages, reply, applying),
                   judge_list_request(templates, messages, reply, applying), applying, options, out.usage);
  if (!judged) co_return tl::unexpected<Error>(judged.error());
  out.verdicts = std::move(*judged);
  co_return out;
}

}  // namespace precept
