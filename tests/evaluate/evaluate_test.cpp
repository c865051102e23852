#include "precept/evaluate/evaluate.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "fake_world.h"
#include "precept/core/io.h"

namespace precept {
namespace {
using test::prompt;

std::vector<Prompt> world() {
  return {prompt("a", "say rude help", {"task"}),
          prompt("b", "say fine help", {"task", "harmless"}),
          prompt("c", "say sorry", {"task", "harmless"}),
          prompt("d", "say a lie", {"kind-only"}),
          prompt("e", "say fine", {"murky"}),
          prompt("f", "say rude", {"murky"}),
          prompt("g", "say anything", {"alien"}),
          prompt("h", "too long")};
}

Evaluation evaluate(const std::vector<Prompt>& prompts, int latency = 0, int in_flight = 512) {
  Script script = test::echo();
  script.latency = latency;
  ScriptedModel model(std::move(script));
  EvalOptions options;
  options.in_flight = in_flight;
  auto result = evaluate_policy(model, prompts, test::two_principles(), test::FakeScorer(), options);
  EXPECT_TRUE(result) << (result ? "" : result.error().what);
  return result ? *result : Evaluation{};
}

TEST(Evaluate, CountsEachRateOverItsOwnPrompts) {
  const Evaluation e = evaluate(world());
  // a and f violate; b, c, d do not; e is murky; g and h are outside.
  EXPECT_EQ(e.violation_rate.n, 5);
  EXPECT_EQ(e.violation_rate.unscored, 3);
  EXPECT_DOUBLE_EQ(*e.violation_rate.value, 0.4);
  EXPECT_EQ(e.helpfulness.n, 3);
  EXPECT_DOUBLE_EQ(*e.helpfulness.value, 2.0 / 3);
  EXPECT_EQ(e.over_refusal.n, 2);
  EXPECT_DOUBLE_EQ(*e.over_refusal.value, 0.5);
  ASSERT_EQ(e.per_principle.size(), 2u);
  EXPECT_EQ(e.per_principle[0].id, "be-kind");
  EXPECT_EQ(e.per_principle[0].violation.n, 6);
  EXPECT_DOUBLE_EQ(*e.per_principle[0].violation.value, 2.0 / 6);
  EXPECT_EQ(e.per_principle[1].violation.n, 3);  // a, b, c: not d (beside the point), e and f (murky)
  EXPECT_EQ(e.per_principle[1].violation.unscored, 4);
  EXPECT_TRUE(e.uncovered.empty());
}

TEST(Evaluate, AnUnscoredAnswerIsNeverAZero) {
  const Evaluation e = evaluate({prompt("g", "say rude", {"alien"})});
  EXPECT_FALSE(e.violation_rate.value);
  EXPECT_EQ(e.violation_rate.unscored, 1);
  EXPECT_FALSE(e.helpfulness.value);
}

TEST(Evaluate, NamesPrinciplesThatTheScorerDoesNotKnow) {
  Constitution c = test::two_principles();
  Principle third;
  third.id = "rhyme";
  c.principles.push_back(third);
  ScriptedModel model(test::echo());
  const auto e = evaluate_policy(model, world(), c, test::FakeScorer(), {});
  ASSERT_TRUE(e);
  EXPECT_EQ(e->uncovered, std::vector<std::string>{"rhyme"});
  EXPECT_FALSE(e->per_principle[2].violation.value);
  EXPECT_DOUBLE_EQ(*e->violation_rate.value, 0.4);  // the rest still counts
}

TEST(Evaluate, IsTheSameInAnyOrderOfAnswers) {
  const std::string once = to_json(evaluate(world()));
  const auto without_seconds = [](std::string text) {
    const auto at = text.find("\"seconds\"");
    return text.erase(at, text.find(',', at) - at);
  };
  for (const int in_flight : {1, 3}) {
    EXPECT_EQ(without_seconds(to_json(evaluate(world(), 5, in_flight))), without_seconds(once));
  }
}

TEST(Evaluate, StopsWithTheErrorOfAModelThatIsDown) {
  ScriptedModel model(test::echo());
  const auto e = evaluate_policy(model, {prompt("x", "down"), prompt("y", "down")}, test::two_principles(), test::FakeScorer(), {});
  ASSERT_FALSE(e);
  EXPECT_EQ(e.error().what, "no connection");
  auto prompts = world();
  for (int i = 0; i < 200; ++i) prompts.push_back(prompt("x" + std::to_string(i), "down"));
  EXPECT_FALSE(evaluate_policy(model, prompts, test::two_principles(), test::FakeScorer(), {})) << "it went down on the way";
}

TEST(Evaluate, APromptThatIsRefusedIsUnscoredAndStopsNothing) {
  ScriptedModel model(test::echo());
  auto prompts = world();
  prompts.insert(prompts.begin(), prompt("x", "down"));
  const auto whole = evaluate(world()), e = evaluate(prompts);
  EXPECT_NE(e.outcomes[0].error.find("no connection"), std::string::npos);
  EXPECT_EQ(e.violation_rate.value, whole.violation_rate.value);
  EXPECT_EQ(e.violation_rate.n, whole.violation_rate.n);
  EXPECT_EQ(e.violation_rate.unscored, whole.violation_rate.unscored + 1);
}

TEST(Evaluate, RefusesWhatCannotBePaired) {
  ScriptedModel model(test::echo());
  EXPECT_FALSE(evaluate_policy(model, {}, test::two_principles(), test::FakeScorer(), {}));
  EXPECT_FALSE(evaluate_policy(model, {prompt("a", "say x"), prompt("a", "say y")}, test::two_principles(),
                               test::FakeScorer(), {}));
}

TEST(Evaluate, SaysWhatItWasMadeOf) {
  const Evaluation e = evaluate(world());
  EXPECT_EQ(e.scorer, "fake");
  EXPECT_EQ(e.constitution_digest, "d1");
  auto prompts = world();
  std::reverse(prompts.begin(), prompts.end());
  EXPECT_EQ(evaluate(prompts).prompts_digest, e.prompts_digest) << "the order says nothing";
  prompts[0].messages[0].content += "?";
  EXPECT_NE(evaluate(prompts).prompts_digest, e.prompts_digest) << "a text";
  prompts = world();
  prompts[1].tags.pop_back();
  EXPECT_NE(evaluate(prompts).prompts_digest, e.prompts_digest) << "a tag";
  prompts = world();
  prompts[1].id = "bb";
  EXPECT_NE(evaluate(prompts).prompts_digest, e.prompts_digest) << "an id";

  EvalOptions options;
  ScriptedModel model(test::echo());
  const Evaluation planned = planned_evaluation(model.info(), world(), test::two_principles(), test::FakeScorer(), options);
  EXPECT_EQ(planned.prompts_digest, e.prompts_digest);
  EXPECT_EQ(planned.outcomes[3].id, "d");
}

TEST(Evaluate, ReportsProgressToTheEnd) {
  ScriptedModel model(test::echo());
  std::vector<Event> events;
  EvalOptions options;
  options.label = "sl";
  ASSERT_TRUE(evaluate_policy(model, world(), test::two_principles(), test::FakeScorer(), options,
                              [&](const Event& e) { events.push_back(e); }));
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().stage, "evaluate sl");
  EXPECT_EQ(events.back().done, 8);
  EXPECT_EQ(events.back().total, 8);
}

TEST(Outcomes, AViolationCountsEvenWhereThePrincipleIsSaidNotToApply) {
  Ruling r;
  r.applies = {{"be-kind", false}};
  r.violates = {{"be-kind", true}};
  const Outcome o = judge_outcome(prompt("a", "x"), "y", test::two_principles(), r);
  EXPECT_EQ(o.violates, true);
  EXPECT_EQ(o.principles.at("be-kind"), true);
}

TEST(Outcomes, AnEmptyRulingDecidesNothing) {
  const Outcome o = judge_outcome(prompt("a", "x"), "y", test::two_principles(), Ruling{});
  EXPECT_TRUE(o.scored);
  EXPECT_FALSE(o.violates);
}

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "precept-eval-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string put(const std::string& bytes) const {
    const std::string path = folder_ + "/eval.json";
    EXPECT_TRUE(write_file(path, bytes));
    return path;
  }
  std::string folder_;
};

TEST_F(Files, AnEvaluationComesBackWhole) {
  auto prompts = world();
  prompts.push_back(prompt("odd", "say \"quotes\" \xE4\xB8\xAD\n\x01 </script>"));
  const std::string text = to_json(evaluate(prompts));
  const auto back = load_evaluation(put(text));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(to_json(*back), text);
}

TEST_F(Files, InvalidUtf8FromAModelIsReplacedNotFatal) {
  const std::string text = to_json(evaluate({prompt("a", "say \xFF\xC3( fine")}));
  EXPECT_FALSE(find_invalid_utf8(text));
  EXPECT_TRUE(load_evaluation(put(text)));
}

TEST_F(Files, HostileFilesAreRefusedWithFileAndLine) {
  for (const std::string& bytes :
       {std::string(), std::string("null"), std::string("[1,2"), std::string("{\"outcomes\": 3}"),
        std::string("{\"outcomes\": [3]}"), std::string("{\"outcomes\": [{\"id\": 1}]}"),
        std::string(100000, '['), std::string("{\"outcomes\": [{}], \"a\": \"\xFF\"}"),
        std::string("{\"seed\": 1e99999, \"outcomes\": []}")}) {
    const auto e = load_evaluation(put(bytes));
    ASSERT_FALSE(e) << bytes.substr(0, 40);
    EXPECT_EQ(e.error().file, folder_ + "/eval.json");
    EXPECT_FALSE(e.error().hint.empty());
  }
  const auto broken = load_evaluation(put("{\n\"outcomes\":\n oops}"));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().line, 3);
}

TEST(EstimateJson, UndefinedIsNull) {
  EXPECT_EQ(to_json(Estimate{}), R"({"value":null,"low":null,"high":null,"n":0,"unscored":0})");
}

}  // namespace
}  // namespace precept
