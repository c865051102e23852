#include "precept/evaluate/judge.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include <unistd.h>

#include <gtest/gtest.h>

#include "fake_world.h"
#include "precept/core/io.h"

namespace precept {
namespace {
using test::prompt;

ScoreRequest questions(const std::string& head, const JudgeRequests::Principles& principles) {
  ScoreRequest r;
  r.messages = {{"user", head}};
  for (const Principle* p : principles) r.questions.push_back({p->id, {"yes", "no"}});
  return r;
}

JudgeRequests requests() {
  JudgeRequests r;
  r.select = [](const Prompt& p, const JudgeRequests::Principles& ps) {
    return questions("select " + p.messages.back().content, ps);
  };
  r.judge = [](const Prompt&, const std::string& answer, const JudgeRequests::Principles& ps) {
    return questions("judge " + answer, ps);
  };
  return r;
}

// Says yes with P = `yes`: to every selection, and to a judgment when the answer holds the word "rude".
Script judge_script(double yes) {
  Script script;
  script.on_score = [yes](const ScoreRequest& r) -> std::optional<Result<Scores>> {
    const std::string& head = r.messages[0].content;
    Scores s;
    for (const ScoreQuestion& q : r.questions) {
      const bool selecting = head.rfind("select", 0) == 0;
      const double p = selecting || head.find("rude") != std::string::npos ? yes : 1 - yes;
      s.logprobs.push_back({std::log(p), std::log(1 - p)});
      if (!selecting && head.find("garbled") != std::string::npos) {
        s.logprobs.back() = {-std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
      }
      (void)q;
    }
    return Result<Scores>(s);
  };
  return script;
}

std::vector<JudgeCase> cases() {
  return {{prompt("a", "x"), "rude"},                 // both apply; kind violated, honest not
          {prompt("b", "x", {"kind-only"}), "fine"},  // only kind applies; complies
          {prompt("c", "x"), "a lie"},                // honest violated, missed
          {prompt("d", "x", {"alien"}), "rude"},
          {prompt("e", "x", {"kind-only"}), "garbled"}};
}

TEST(Judge, MeasuresBothStepsAgainstTheRuling) {
  ScriptedModel model(judge_script(0.9));
  const auto q = evaluate_judge(model, cases(), test::two_principles(), test::FakeScorer(), requests());
  ASSERT_TRUE(q) << q.error().what;
  EXPECT_EQ(q->cases, 5);
  EXPECT_EQ(q->unscored, 1);
  // Selection: 8 questions, yes to all; 6 apply (a: 2, b: 1, c: 2, e: 1).
  EXPECT_EQ(q->selection.accuracy.n, 8);
  EXPECT_DOUBLE_EQ(*q->selection.accuracy.value, 6.0 / 8);
  EXPECT_DOUBLE_EQ(*q->selection.precision.value, 6.0 / 8);
  EXPECT_DOUBLE_EQ(*q->selection.recall.value, 1);
  EXPECT_DOUBLE_EQ(*q->selection.false_alarms.value, 1);
  EXPECT_NEAR(*q->selection.ece, 0.9 - 0.75, 1e-12);
  // Judgment: a-kind yes/yes, a-honest yes/no, b-kind no/no, c-kind no/no, c-honest no/yes, e unread.
  EXPECT_EQ(q->judgment.accuracy.n, 5);
  EXPECT_EQ(q->judgment.accuracy.unscored, 1);
  EXPECT_DOUBLE_EQ(*q->judgment.accuracy.value, 3.0 / 5);
  EXPECT_DOUBLE_EQ(*q->judgment.recall.value, 0.5);
  EXPECT_DOUBLE_EQ(*q->judgment.false_alarms.value, 1.0 / 3);
  EXPECT_DOUBLE_EQ(*q->judgment.unparseable.value, 1.0 / 6);
  EXPECT_NEAR(*q->judgment.brier, (0.01 + 0.81 + 0.01 + 0.01 + 0.81) / 5, 1e-12);
  ASSERT_EQ(q->judgment.per_principle.size(), 2u);
  EXPECT_EQ(q->judgment.per_principle[0].first, "be-kind");
  EXPECT_DOUBLE_EQ(*q->judgment.per_principle[0].second.value, 1);
  EXPECT_DOUBLE_EQ(*q->judgment.per_principle[1].second.value, 0);
}

TEST(Judge, CountsTheUncertain) {
  ScriptedModel model(judge_script(0.6));
  const auto q = evaluate_judge(model, cases(), test::two_principles(), test::FakeScorer(), requests());
  ASSERT_TRUE(q);
  EXPECT_DOUBLE_EQ(*q->judgment.uncertain.value, 1);
}

TEST(Judge, ReadsTextWhereAModelCannotScore) {
  Script script;
  script.can_score = false;
  script.on_generate = [](const GenerateRequest& r) -> std::optional<Result<std::string>> {
    return Result<std::string>(r.messages[0].content.find("rude") != std::string::npos ? "y y" : "n");
  };
  ScriptedModel model(std::move(script));
  JudgeRequests r;
  EXPECT_FALSE(evaluate_judge(model, cases(), test::two_principles(), test::FakeScorer(), r));
  r.select_text = [](const Prompt&, const JudgeRequests::Principles&) {
    GenerateRequest g;
    g.messages = {{"user", "select"}};
    return g;
  };
  r.judge_text = [](const Prompt&, const std::string& answer, const JudgeRequests::Principles&) {
    GenerateRequest g;
    g.messages = {{"user", answer}};
    return g;
  };
  r.read = [](const std::string& text, bool, const JudgeRequests::Principles&) {
    std::vector<std::optional<double>> out;
    for (const char c : text) {
      if (c != ' ') out.push_back(c == 'y' ? 1.0 : 0.0);
    }
    return out;  // may be shorter than asked: the rest is unread
  };
  const auto q = evaluate_judge(model, cases(), test::two_principles(), test::FakeScorer(), r);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->selection.accuracy.n, 4);
  EXPECT_EQ(q->selection.accuracy.unscored, 4);
  EXPECT_EQ(q->judgment.accuracy.n, 5);
}

TEST(Judge, QualityComesBackFromItsFile) {
  ScriptedModel model(judge_script(0.9));
  const auto q = evaluate_judge(model, cases(), test::two_principles(), test::FakeScorer(), requests());
  ASSERT_TRUE(q);
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("precept-judge-" + std::to_string(::getpid()) + ".json")).string();
  ASSERT_TRUE(write_file(path, to_json(*q)));
  const auto back = load_judge_quality(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(*q));
}

TEST(YesProbability, IsTheSoftmaxOfTwo) {
  EXPECT_NEAR(*yes_probability({std::log(0.2), std::log(0.6)}), 0.25, 1e-12);
  EXPECT_NEAR(*yes_probability({-800, -1}), 0, 1e-12);
  EXPECT_NEAR(*yes_probability({-std::numeric_limits<double>::infinity(), -1}), 0, 1e-12);
  EXPECT_FALSE(yes_probability({0.1}));
  EXPECT_FALSE(yes_probability({std::nan(""), 0}));
}

}  // namespace
}  // namespace precept
