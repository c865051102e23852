#include "precept/feedback/code_reward.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "precept/feedback/code/extract.h"
#include "precept/revise/verdicts.h"

namespace precept {
namespace {

using std::chrono::milliseconds;

CodeReview unreadable(std::size_t principles, std::string why) { return {std::vector<std::optional<double>>(principles), std::move(why)}; }

std::optional<double> score_of(const Verdict& verdict) {
  if (verdict.value == Verdict::Value::kUnparseable) return std::nullopt;
  if (verdict.probability) return 1 - *verdict.probability;
  return verdict.value == Verdict::Value::kNo ? 1.0 : 0.0;
}

CodeReview review_of(const std::vector<Verdict>& verdicts) {
  CodeReview review;
  for (const Verdict& verdict : verdicts) {
    review.scores.push_back(score_of(verdict));
    if (!review.scores.back()) review.why = "the reviewer's answer on " + verdict.principle + " cannot be read";
  }
  return review;
}

// Reviews on their way: asked in the constructor's order, answered inside of the reviewer's advance().
class Reviews {
 public:
  Reviews(Model& reviewer, Templates templates, Principles principles, int list_tokens)
      : reviewer_(reviewer), templates_(std::move(templates)), principles_(std::move(principles)), list_tokens_(list_tokens) {}

  void ask(const ReviewedProgram& program) {
    const std::size_t at = reviews_.size();
    reviews_.push_back(unreadable(principles_.size(), "the reviewer dropped the request"));
    const auto keep = [this, at](Result<std::vector<Verdict>> verdicts) {
      reviews_[at] = verdicts ? review_of(*verdicts) : unreadable(principles_.size(), verdicts.error().message());
    };
    if (reviewer_.info().can_score) {
      ScoreRequest request = yes_no_questions(judge_request(templates_, program.messages, program.program, principles_));
      reviewer_.submit(std::move(request), [this, keep](Result<Scores> answer) {
        keep(answer ? read_scores(*answer, principles_, 0.5) : Result<std::vector<Verdict>>(tl::unexpected(answer.error())));
      });
      return;
    }
    GenerateRequest request;
    request.messages = {{"user", judge_list_request(templates_, program.messages, program.program, principles_)}};
    request.sampling.temperature = 0;
    request.sampling.max_tokens = list_tokens_;
    reviewer_.submit(std::move(request), [this, keep](Result<Generation> answer) {
      keep(answer ? Result<std::vector<Verdict>>(read_list(StepKind::kJudge, answer->text, principles_)) : tl::unexpected(answer.error()));
    });
  }

  std::vector<CodeReview> take() { return std::move(reviews_); }

 private:
  Model& reviewer_;
  const Templates templates_;
  const Principles principles_;
  const int list_tokens_;
  std::vector<CodeReview> reviews_;
};

Principles all_of(const Constitution& constitution) {
  Principles principles;
  for (const Principle& principle : constitution.principles) principles.push_back(&principle);
  return principles;
}

// Answers on their way refer to `reviews`: nothing may be left when it goes.
void finish(Model* reviewer, Sandbox* sandbox) {
  while (true) {
    const std::size_t testing = sandbox != nullptr ? sandbox->advance(milliseconds(0)) : 0;
    const std::size_t reading = reviewer != nullptr ? reviewer->advance(milliseconds(testing > 0 ? 2 : 50)) : 0;
    if (testing + reading == 0) return;
    if (reading == 0) sandbox->advance(milliseconds(50));
  }
}

}  // namespace

Result<std::vector<CodeReview>> review_programs(Model& reviewer, const Constitution& constitution,
                                                const std::vector<ReviewedProgram>& programs, int list_tokens) {
  auto templates = resolve_templates(constitution);
  if (!templates) return tl::unexpected(templates.error());
  Reviews reviews(reviewer, std::move(*templates), all_of(constitution), list_tokens);
  for (const ReviewedProgram& program : programs) reviews.ask(program);
  finish(&reviewer, nullptr);
  return reviews.take();
}

CodeReward::CodeReward(const std::vector<CodeTask>& tasks, Sandbox& sandbox, const SandboxLimits& limits, Model* reviewer,
                       const Constitution* constitution)
    : tasks_(tasks), sandbox_(sandbox), limits_(limits), reviewer_(reviewer), constitution_(constitution), terms_{"tests"} {
  PRECEPT_CHECK((reviewer == nullptr) == (constitution == nullptr));
  if (constitution == nullptr) return;
  for (const Principle& principle : constitution->principles) {
    std::string term = principle.id;
    std::replace(term.begin(), term.end(), '-', '_');
    terms_.push_back(std::move(term));
  }
}

Result<std::vector<std::vector<RewardValue>>> CodeReward::score(std::span<const RewardInput> answers) {
  std::unordered_map<std::string_view, const CodeTask*> by_id;
  for (const CodeTask& task : tasks_) by_id[task.id] = &task;
  std::vector<std::string> programs;
  for (const RewardInput& answer : answers) {
    const auto task = by_id.find(answer.id);
    if (task == by_id.end()) return bad_input("no programming task has the id of the prompt \"" + answer.id + "\"", "give the tasks file that the prompts were made of");
    programs.push_back(program_of_answer(*task->second, answer.reply));
  }
  std::vector<CodeReview> reviewed(answers.size());
  std::optional<Reviews> reviews;
  if (reviewer_ != nullptr) {
    auto templates = resolve_templates(*constitution_);
    if (!templates) return tl::unexpected(templates.error());
    reviews.emplace(*reviewer_, std::move(*templates), all_of(*constitution_), 256);
    for (std::size_t i = 0; i < answers.size(); ++i) reviews->ask({answers[i].messages, programs[i]});
  }
  std::vector<CodeVerdict> verdicts(answers.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    test_code(sandbox_, *by_id[answers[i].id], programs[i], limits_, [&verdicts, i](CodeVerdict verdict) { verdicts[i] = std::move(verdict); });
  }
  finish(reviewer_, &sandbox_);
  if (reviews) reviewed = reviews->take();

  std::vector<std::vector<RewardValue>> rows;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    std::vector<RewardValue> row(1);
    row[0].why = verdicts[i].why;
    if (verdicts[i].value != CodeVerdict::Value::kUnscored) row[0].value = verdicts[i].value == CodeVerdict::Value::kPassed ? 1 : 0;
    for (const std::optional<double>& score : reviewed[i].scores) row.push_back({score, score ? std::string() : reviewed[i].why});
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace precept
