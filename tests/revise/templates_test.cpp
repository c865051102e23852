#include "precept/revise/templates.h"

#include "precept/constitution/placeholders.h"
#include "tests/revise/fixture.h"

namespace precept::testing_loop {
namespace {

Principles two(const Constitution& constitution) {
  return {&constitution.principles[0], &constitution.principles[2]};
}

// The built-in model is trained on these bytes.
TEST(Templates, BuiltInWordingIsFixed) {
  const Constitution constitution = small_constitution();
  const Conversation ask = {{"user", "Hi {reply}"}};
  const Templates& templates = default_templates();
  const SplitRequest select = select_request(templates, ask, two(constitution));
  EXPECT_EQ(select.prefix,
            "Does the rule matter for answering this person? Answer yes or no.\n\nPerson: Hi {reply}\n");
  EXPECT_EQ(select.tails, (std::vector<std::string>{"Rule: Be kind.", "Rule: Be brief."}));
  const SplitRequest judge = judge_request(templates, ask, "R {principle}", two(constitution));
  EXPECT_EQ(judge.prefix,
            "Does the reply break the rule? Answer yes or no.\n\nPerson: Hi {reply}\nReply: R {principle}\n");
  EXPECT_EQ(judge.tails[1], "Rule: Be brief.");
  EXPECT_EQ(critique_request(templates, ask, "R", {two(constitution)[0]}),
            "Say how the reply breaks the rule.\n\nPerson: Hi {reply}\nReply: R\nRule: Be kind.");
  EXPECT_EQ(revise_request(templates, ask, "R", two(constitution), "C {why}"),
            "Rewrite the reply so that it keeps the rule.\n\nPerson: Hi {reply}\nReply: R\nRule: Be kind.\nRule: Be "
            "brief.\nCritique: C {why}");
  const ScoreRequest questions = yes_no_questions(judge);
  EXPECT_EQ(questions.messages, (Conversation{{"user", judge.prefix}}));
  ASSERT_EQ(questions.questions.size(), 2U);
  EXPECT_EQ(questions.questions[1].options, (std::vector<std::string>{"yes", "no"}));
}

TEST(Templates, ListsAreNumbered) {
  const Constitution constitution = small_constitution();
  const std::string list = judge_list_request(default_templates(), {{"user", "Q"}}, "R", two(constitution));
  EXPECT_TRUE(has(list, "\n1. Be kind.\n2. Be brief.\n")) << list;
  EXPECT_TRUE(has(list, "Person: Q\nReply: R\n")) << list;
}

TEST(Templates, ConversationsAreRendered) {
  EXPECT_EQ(render_conversation({{"user", "a"}}), "a");
  EXPECT_EQ(render_conversation({{"user", "a"}, {"assistant", "b"}, {"user", "c"}}), "a\nAssistant: b\nPerson: c");
  EXPECT_EQ(render_conversation({{"system", "s"}, {"user", "a"}}), "System: s\nPerson: a");
}

TEST(Templates, APrinciplesOwnWordingReplacesTheFirstLine) {
  Constitution constitution = small_constitution();
  constitution.principles[0].critique = "Where is it unkind?";
  constitution.principles[0].revision = "Make it kind.";
  const Principles one = {&constitution.principles[0]};
  EXPECT_EQ(critique_request(default_templates(), {{"user", "Q"}}, "R", one),
            "Where is it unkind?\n\nPerson: Q\nReply: R\nRule: Be kind.");
  EXPECT_EQ(revise_request(default_templates(), {{"user", "Q"}}, "R", one, "C"),
            "Make it kind.\n\nPerson: Q\nReply: R\nRule: Be kind.\nCritique: C");
  constitution.principles[0].critique = "Braces of a wording are {text} and {reply}.";
  EXPECT_EQ(critique_request(default_templates(), {{"user", "Q"}}, "R", one),
            "Braces of a wording are {text} and {reply}.\n\nPerson: Q\nReply: R\nRule: Be kind.");
}

TEST(Templates, OverridesAreChecked) {
  Constitution constitution = small_constitution();
  constitution.templates["judge"] = "Ask.\nP {conversation}\nR {reply}\nBecause {why}, {principle}?";
  auto templates = resolve_templates(constitution);
  ASSERT_TRUE(templates.has_value()) << templates.error().message();
  const SplitRequest judge = judge_request(*templates, {{"user", "Q"}}, "R", two(constitution));
  EXPECT_EQ(judge.prefix, "Ask.\nP Q\nR R\n");
  EXPECT_EQ(judge.tails[0], "Because , Be kind.?");

  for (const char* wrong : {"P {conversation}\n{principle}",                        // no reply
                            "P {conversation}\n{reply}\n{principle} {nonsense}",    // unknown
                            "{principle} {conversation}\n{reply}"}) {               // the rule comes first
    constitution.templates = {{"judge", wrong}};
    EXPECT_FALSE(resolve_templates(constitution).has_value()) << wrong;
  }
  constitution.templates = {{"judgement", "x"}};
  EXPECT_FALSE(resolve_templates(constitution).has_value());
}

TEST(Templates, TheBuiltInOnesKeepTheRules) {
  EXPECT_EQ(default_templates().size(), template_rules().size());
  for (const TemplateRule& rule : template_rules()) {
    const auto found = default_templates().find(rule.key);
    ASSERT_NE(found, default_templates().end()) << rule.key;
    for (const TemplateProblem& problem : check_template(rule, found->second)) ADD_FAILURE() << problem.what;
  }
}

TEST(Templates, TheDraftIsAskedWithTheLastTurn) {
  Templates templates = default_templates();
  const Conversation messages = {{"user", "a"}, {"assistant", "b"}, {"user", "c {prompt}"}};
  EXPECT_EQ(draft_request(templates, messages), messages);
  templates["draft"] = "{prompt}\nBe brief. {prompt}";
  const Conversation asked = draft_request(templates, messages);
  EXPECT_EQ(asked, (Conversation{{"user", "a"}, {"assistant", "b"}, {"user", "c {prompt}\nBe brief. c {prompt}"}}));
}

TEST(Templates, BracesThatArePlaceholdersOfNothingStay) {
  Constitution constitution = small_constitution();
  constitution.templates["critique"] = "JSON {\"a\": {}} { reply }\n{conversation}{reply}{principle}";
  auto templates = resolve_templates(constitution);
  ASSERT_TRUE(templates.has_value()) << templates.error().message();
  EXPECT_EQ(critique_request(*templates, {{"user", "Q"}}, "R", {&constitution.principles[0]}),
            "JSON {\"a\": {}} { reply }\nQRBe kind.");
}

}  // namespace
}  // namespace precept::testing_loop
