// The judging half by itself, with a judge that scores and one that writes lists.

#include <cmath>

#include <gtest/gtest.h>

#include "precept/model/scripted_model.h"
#include "precept/revise/review.h"

namespace precept {
namespace {

Constitution two_principles() {
  Constitution constitution;
  for (const char* id : {"kind", "true"}) {
    Principle principle;
    principle.id = id;
    principle.text = std::string("Be ") + id + ".";
    constitution.principles.push_back(principle);
  }
  return constitution;
}

Result<Review> reviewed(Model& model, const std::string& reply) {
  const Constitution constitution = two_principles();
  const Templates templates = *resolve_templates(constitution);
  auto task = review(model, constitution, templates, {{"user", "Hi"}}, reply);
  task.start();
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  return task.take();
}

// Selecting asks with the conversation alone, judging with the reply: its words tell the two apart.
Script scoring() {
  Script script;
  script.on_score = [](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    const bool judging = request.messages[0].content.find("REPLY") != std::string::npos;
    for (const ScoreQuestion& question : request.questions) {
      const bool kind = question.tail.find("Be kind.") != std::string::npos;
      const double yes = judging ? 0.9 : kind ? 0.8 : 0.1;  // only "kind" applies
      scores.logprobs.push_back({std::log(yes), std::log(1 - yes)});
    }
    scores.usage.prompt_tokens = 10;
    return scores;
  };
  return script;
}

TEST(Review, ScoresWhatAppliesAndJudgesOnlyThat) {
  ScriptedModel model(scoring());
  const auto said = reviewed(model, "REPLY");
  ASSERT_TRUE(said.has_value()) << said.error().message();
  ASSERT_EQ(said->verdicts.size(), 1u);
  EXPECT_EQ(said->verdicts[0].principle, "kind");
  EXPECT_EQ(said->verdicts[0].value, Verdict::Value::kYes);
  EXPECT_NEAR(*said->verdicts[0].probability, 0.9, 1e-12);
  EXPECT_TRUE(said->violates());
  EXPECT_EQ(said->usage.prompt_tokens, 20);
  EXPECT_EQ(model.score_calls(), 2);
}

TEST(Review, ReadsListsWhereTheJudgeCannotScore) {
  Script script;
  script.can_score = false;
  script.rules = {{ScriptedRule::Kind::kReply, {"REPLY"}, "1: no\n2: perhaps", {}}, {ScriptedRule::Kind::kReply, {}, "1: yes\n2: yes", {}}};
  ScriptedModel model(script);
  const auto said = reviewed(model, "REPLY");
  ASSERT_TRUE(said.has_value()) << said.error().message();
  ASSERT_EQ(said->verdicts.size(), 2u);
  EXPECT_EQ(said->verdicts[0].value, Verdict::Value::kNo);
  EXPECT_TRUE(said->unreadable());
  EXPECT_FALSE(said->violates());
}

TEST(Review, NothingAppliesNothingIsJudged) {
  Script script;
  script.can_score = false;
  script.rules = {{ScriptedRule::Kind::kReply, {}, "1: no\n2: no", {}}};
  ScriptedModel model(script);
  const auto said = reviewed(model, "REPLY");
  ASSERT_TRUE(said.has_value());
  EXPECT_TRUE(said->verdicts.empty());
  EXPECT_EQ(model.generate_calls(), 1);
}

TEST(Review, AFailingJudgeIsAnError) {
  Script script;
  script.rules = {{ScriptedRule::Kind::kFail, {}, "out of order", {}}};
  ScriptedModel model(script);
  const auto said = reviewed(model, "REPLY");
  ASSERT_FALSE(said.has_value());
  EXPECT_NE(said.error().what.find("out of order"), std::string::npos);
}

}  // namespace
}  // namespace precept
