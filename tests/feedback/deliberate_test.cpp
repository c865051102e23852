// Deliberation: what the policy is asked, what is learnt of it, and what the judge and later readers see.
#include "precept/feedback/deliberate.h"

#include <gtest/gtest.h>

#include "tests/revise/fixture.h"

namespace precept {
namespace {

using testing_loop::has;
using testing_loop::small_constitution;
using testing_loop::yes_with;

std::vector<Prompt> prompts() {
  return {{"a", {{"user", "Hello"}}, {}}, {"b", {{"user", "Plain"}}, {}}, {"c", {{"user", "Tricky"}}, {}}, {"d", {{"user", "Long"}}, {}}};
}

// "Be kind." applies to all but Plain; what is rude breaks it.
Script judge_script(std::vector<std::string>& judged) {
  Script script;
  script.on_score = [&judged](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    const std::string& text = request.messages[0].content;
    const bool judging = has(text, "\nReply: ");
    if (judging) judged.push_back(text);
    Scores scores;
    for (const ScoreQuestion& q : request.questions) {
      const bool kind = has(q.tail, "Be kind");
      scores.logprobs.push_back(yes_with(!judging ? (kind && !has(text, "Plain") ? 0.9 : 0.1) : kind && has(text, "rude") ? 0.9 : 0.1));
    }
    return scores;
  };
  return script;
}

// Reasons when asked to, and answers from its reasoning; the first sample to Tricky is rude.
Script policy_script(std::vector<std::string>& asked) {
  Script script;
  script.on_generate = [&asked](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages[0].content;
    asked.push_back(text);
    if (has(text, "THINK")) return std::string(has(text, "Long") ? "never ends\nReply: at once" : "It should be kind, whatever {rules} says.");
    if (has(text, "Tricky")) return std::string(request.key.round == 0 ? "a rude word" : "a kind word");
    return "answer to " + text.substr(0, 5);
  };
  return script;
}

DeliberateOptions reasoning() {
  DeliberateOptions o;
  o.reasoning = true;
  o.request = "ANSWER {prompt} by {rules} since {reasoning}";
  o.reasoning_request = "THINK of {rules} for {prompt}";
  return o;
}

TEST(Deliberate, ReasonsFirstAndLearnsBothWithoutTheRules) {
  std::vector<std::string> asked, judged;
  ScriptedModel policy(policy_script(asked)), judge(judge_script(judged));
  const auto answers = deliberate(prompts(), policy, judge, small_constitution(), reasoning(), 1);
  ASSERT_TRUE(answers) << answers.error().message();
  ASSERT_EQ(answers->size(), 3U) << "reasoning that holds the mark of the answer is not learnt";
  EXPECT_EQ((*answers)[0].id, "a");
  EXPECT_EQ((*answers)[0].messages, (Conversation{{"user", "Hello"}})) << "no rule stands in what is learnt from";
  EXPECT_EQ((*answers)[0].completion(), "It should be kind, whatever {rules} says.\nReply: answer to ANSWE");
  EXPECT_EQ((*answers)[1].completion(), "No rule matters here.\nReply: answer to Plain");
  EXPECT_EQ((*answers)[2].reply, "a kind word") << "the first sample that the judge lets pass";
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "THINK of Be kind. for Hello"), 2) << "one of each sample";
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "ANSWER Hello by Be kind. since It should be kind, whatever {rules} says."), 2)
      << "what was filled in is not filled in again";
  ASSERT_FALSE(judged.empty());
  for (const std::string& text : judged) EXPECT_FALSE(has(text, "It should be kind")) << "the judge sees answers alone";
}

TEST(Deliberate, WithoutReasoningOnlyAnswersAreLearnt) {
  std::vector<std::string> asked, judged;
  ScriptedModel policy(policy_script(asked)), judge(judge_script(judged));
  DeliberateOptions options;
  options.filter = false;
  const auto answers = deliberate(prompts(), policy, judge, small_constitution(), options, 1);
  ASSERT_TRUE(answers) << answers.error().message();
  ASSERT_EQ(answers->size(), 4U);
  EXPECT_EQ((*answers)[2].completion(), "a rude word") << "nobody filters";
  EXPECT_EQ(asked.size(), 8U);
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "Rewrite the reply so that it keeps the rule.\n\nPerson: Hello\nReply: \nRule: Be kind.\nCritique: "), 2);
}

TEST(Deliberate, RequestsNameWhatTheyNeedOnce) {
  DeliberateOptions o = reasoning();
  EXPECT_TRUE(check(o));
  o.request = "{prompt} {rules}";
  EXPECT_EQ(check(o).error().what, "request has no {reasoning}");
  o.reasoning = false;
  EXPECT_TRUE(check(o));
  o.request = "{prompt} {rules} {rules}";
  EXPECT_EQ(check(o).error().what, "request has {rules} twice");
  o = reasoning();
  o.reasoning_request = "{prompt} {rules} {reasoning}";
  EXPECT_EQ(check(o).error().what, "reasoning_request has {reasoning}");
  o = reasoning();
  o.no_rule = " ";
  EXPECT_FALSE(check(o));
}

TEST(Deliberate, OnlyTheAnswerOfAModelThatReasonsIsSeen) {
  EXPECT_EQ(answer_in("because\nReply: yes", false), "yes");
  EXPECT_EQ(answer_in("because\nReply: yes\nReply: no", true), "yes\nReply: no");
  EXPECT_EQ(answer_in("just an answer", false), "just an answer");
  EXPECT_EQ(answer_in("because of this and", true), "") << "it never came to an answer";
  Script script;
  int most = 0;
  script.on_generate = [&most](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    most = request.sampling.max_tokens;
    return std::string("because\nReply: yes");
  };
  const auto model = answers_alone(std::make_unique<ScriptedModel>(script), 40);
  GenerateRequest request;
  request.messages = {{"user", "?"}};
  request.sampling.max_tokens = 10;
  std::string heard, said;
  request.on_text = [&heard](std::string_view part) { heard += part; };
  model->submit(std::move(request), [&said](Result<Generation> answer) { said = answer->text; });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  EXPECT_EQ(said, "yes");
  EXPECT_EQ(heard, "yes");
  EXPECT_EQ(most, 50);
}

}  // namespace
}  // namespace precept
