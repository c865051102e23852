#include "precept/feedback/judge_reward.h"

#include <algorithm>

namespace precept {
namespace {

using Verdicts = Result<std::vector<Verdict>>;

// Runs tasks of one model side by side to their ends.
Status run_all(Model& model, std::vector<Task<Verdicts>>& tasks) {
  for (auto& task : tasks) task.start();
  int idle = 0;
  while (!std::all_of(tasks.begin(), tasks.end(), [](const auto& task) { return task.done(); })) {
    idle = model.advance(std::chrono::milliseconds(50)) == 0 ? idle + 1 : 0;
    if (idle > 2) return failed("a model dropped a request without an answer", "this is a bug of its backend");
  }
  return {};
}

RewardValue worth(const std::vector<Verdict>& verdicts, JudgeWorth kind) {
  RewardValue out{1.0, ""};
  for (const Verdict& verdict : verdicts) {
    if (verdict.value == Verdict::Value::kUnparseable) return {std::nullopt, "the verdict on " + verdict.principle + " could not be read"};
    const double said = verdict.value == Verdict::Value::kYes ? 1.0 : 0.0;
    const double violates = kind == JudgeWorth::kVerdict ? said : verdict.probability.value_or(said);
    if (1 - violates >= *out.value) continue;
    out = {1 - violates, verdict.principle};
  }
  return out;
}

}  // namespace

Status JudgeReward::select(std::span<const RewardInput> answers) {
  std::vector<Task<Verdicts>> tasks;
  std::vector<std::string> asked;
  for (const RewardInput& answer : answers) {
    std::string text = render_conversation(answer.messages);
    if (!applying_.try_emplace(text).second) continue;
    asked.push_back(std::move(text));
    tasks.push_back(review_selection(judge_, constitution_, templates_, answer.messages, options_, usage_));
  }
  if (Status ran = run_all(judge_, tasks); !ran) return ran;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Verdicts verdicts = tasks[i].take();
    if (!verdicts) return tl::unexpected<Error>(verdicts.error());
    for (std::size_t p = 0; p < verdicts->size(); ++p) {
      if ((*verdicts)[p].value != Verdict::Value::kNo) applying_[asked[i]].push_back(&constitution_.principles[p]);
    }
  }
  return {};
}

Result<std::vector<std::vector<RewardValue>>> JudgeReward::score(std::span<const RewardInput> answers) {
  if (Status selected = select(answers); !selected) return tl::unexpected<Error>(selected.error());
  std::vector<std::vector<RewardValue>> out(answers.size(), {RewardValue{1.0, ""}});
  std::vector<Task<Verdicts>> tasks;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Principles& principles = applying_.at(render_conversation(answers[i].messages));
    if (principles.empty()) continue;
    places.push_back(i);
    tasks.push_back(review_reply(judge_, templates_, answers[i].messages, answers[i].reply, principles, options_, usage_));
  }
  if (Status ran = run_all(judge_, tasks); !ran) return tl::unexpected<Error>(ran.error());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const Verdicts verdicts = tasks[i].take();
    if (!verdicts) return tl::unexpected<Error>(verdicts.error());
    out[places[i]][0] = worth(*verdicts, worth_);
  }
  return out;
}

}  // namespace precept
