#include "cli/pocket_judge.h"

#include "precept/revise/verdicts.h"

namespace precept {
namespace {

GenerateRequest greedy(std::string content) {
  GenerateRequest request;
  request.messages = {{"user", std::move(content)}};
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 256;
  return request;
}

}  // namespace

JudgeRequests judge_requests(const Templates& templates) {
  JudgeRequests out;
  out.select = [templates](const Prompt& prompt, const Principles& principles) {
    return yes_no_questions(select_request(templates, prompt.messages, principles));
  };
  out.judge = [templates](const Prompt& prompt, const std::string& answer, const Principles& principles) {
    return yes_no_questions(judge_request(templates, prompt.messages, answer, principles));
  };
  out.select_text = [templates](const Prompt& prompt, const Principles& principles) {
    return greedy(select_list_request(templates, prompt.messages, principles));
  };
  out.judge_text = [templates](const Prompt& prompt, const std::string& answer, const Principles& principles) {
    return greedy(judge_list_request(templates, prompt.messages, answer, principles));
  };
  out.read = [](const std::string& text, bool judging, const JudgeRequests::Principles& principles) {
    std::vector<std::optional<double>> said;
    for (const Verdict& v : read_list(judging ? StepKind::kJudge : StepKind::kSelect, text, principles)) {
      if (v.value == Verdict::Value::kUnparseable) said.emplace_back();
      else said.emplace_back(v.value == Verdict::Value::kYes ? 1.0 : 0.0);
    }
    return said;
  };
  return out;
}

}  // namespace precept
