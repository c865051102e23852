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

Task<Result<std::vector<Verdict>>> review_selection(Model& judge, const Constitution& constitution, const Templates& templates,
                                                    Conversation messages, ReviewOptions options, Usage& usage) {
  Principles all;
  for (const Principle& principle : constitution.principles) all.push_back(&principle);
  co_return co_await ask(judge, StepKind::kSelect, select_request(templates, messages, all), select_list_request(templates, messages, all),
                         all, options, usage);
}

Task<Result<std::vector<Verdict>>> review_reply(Model& judge, const Templates& templates, Conversation messages, std::string reply,
                                                Principles principles, ReviewOptions options, Usage& usage) {
  co_return co_await ask(judge, StepKind::kJudge, judge_request(templates, messages, reply, principles),
                         judge_list_request(templates, messages, reply, principles), principles, options, usage);
}

Task<Result<Review>> review(Model& judge, const Constitution& constitution, const Templates& templates, Conversation messages,
                            std::string reply, ReviewOptions options) {
  Review out;
  const Result<std::vector<Verdict>> selected = co_await review_selection(judge, constitution, templates, messages, options, out.usage);
  if (!selected) co_return tl::unexpected<Error>(selected.error());
  Principles applying;
  for (std::size_t i = 0; i < selected->size(); ++i) {
    if ((*selected)[i].value != Verdict::Value::kNo) applying.push_back(&constitution.principles[i]);
  }
  if (applying.empty()) co_return out;
  Result<std::vector<Verdict>> judged =
      co_await review_reply(judge, templates, std::move(messages), std::move(reply), std::move(applying), options, out.usage);
  if (!judged) co_return tl::unexpected<Error>(judged.error());
  out.verdicts = std::move(*judged);
  co_return out;
}

}  // namespace precept
