// A panel of labelled pairs, read with a model whose scores can be told from the texts.
#include "precept/evaluate/pair_panel.h"

#include <cmath>
#include <filesystem>

#include <unistd.h>

#include <gtest/gtest.h>

#include "fake_world.h"
#include "precept/core/io.h"

namespace precept {
namespace {

JudgeRequests requests() {
  const auto asked = [](const std::string& head, const JudgeRequests::Principles& principles) {
    ScoreRequest r;
    r.messages = {{"user", head}};
    for (const Principle* p : principles) r.questions.push_back({p->id, {"yes", "no"}});
    return r;
  };
  JudgeRequests r;
  r.select = [asked](const Prompt& p, const JudgeRequests::Principles& ps) { return asked("select " + p.messages.back().content, ps); };
  r.judge = [asked](const Prompt&, const std::string& answer, const JudgeRequests::Principles& ps) { return asked("judge " + answer, ps); };
  return r;
}

// As a writer: -1 a byte, -2 where the answer is "rude". As a judge: be-kind applies unless the prompt is "free"; broken with 0.9 by
// "rude", with 0.2 by the rest. `turned`: both the other way round.
Script script(bool turned) {
  Script script;
  script.on_score = [turned](const ScoreRequest& r) -> std::optional<Result<Scores>> {
    const std::string& head = r.messages[0].content;
    if (head == "long") return Result<Scores>(bad_input("longer than the context"));
    Scores s;
    for (const ScoreQuestion& q : r.questions) {
      if (q.tail.empty()) {
        s.logprobs.emplace_back();
        for (const std::string& option : q.options) {
          s.logprobs.back().push_back(-static_cast<double>(option.size()) * ((option.find("rude") != std::string::npos) != turned ? 2 : 1));
        }
        continue;
      }
      const bool selecting = head.rfind("select", 0) == 0;
      double yes = selecting ? (q.tail == "be-kind" && head != "select free" ? 0.9 : 0.1) : (head.find("rude") != std::string::npos) != turned ? 0.9 : 0.2;
      s.logprobs.push_back({std::log(yes), std::log(1 - yes)});
    }
    return Result<Scores>(s);
  };
  return script;
}

std::vector<AnswerPair> pairs() {
  return {{"a", {{"user", "hello"}}, "a fine long answer", "rude", 1},       // likelier a byte, though less likely as a whole
          {"b", {{"user", "hello"}}, "rude", "fine", 0.2},                   // the label turns it round
          {"c", {{"user", "free"}}, "fine", "rude", 1},                      // no principle applies: no judgment
          {"d", {{"user", "hello"}}, "fine", "good", 1},                     // equal in both
          {"e", {{"user", "hello"}}, "fine", "rude", 0.5},                   // the label says nothing
          {"f", {{"user", "long"}}, "fine", "rude", 1}};                     // too long to be written; the judge's request is its own
}

TEST(PairPanel, BothSidesByHand) {
  ScriptedModel model(script(false));
  const auto read = evaluate_pairs(model, pairs(), test::two_principles(), requests());
  ASSERT_TRUE(read) << read.error().what;
  const auto& o = read->outcomes;
  ASSERT_EQ(o.size(), 6U);
  EXPECT_EQ(o[0].prefers, true);
  EXPECT_EQ(o[1].prefers, true);
  EXPECT_EQ(o[2].prefers, true);
  EXPECT_FALSE(o[3].prefers || o[4].prefers || o[5].prefers);
  EXPECT_EQ(o[0].judges, true);
  EXPECT_EQ(o[1].judges, true);
  EXPECT_FALSE(o[2].judges || o[3].judges || o[4].judges);
  EXPECT_EQ(o[5].judges, true);
  EXPECT_EQ(read->preference().n, 3);
  EXPECT_EQ(read->preference().unscored, 3);
  EXPECT_EQ(read->judgment().value, 1.0);
}

TEST(PairPanel, WhatIsTurnedRoundIsSeenPairByPair) {
  std::vector<AnswerPair> many;
  for (int i = 0; i < 12; ++i) many.push_back(pairs()[0]);
  ScriptedModel model(script(false)), turned(script(true));
  const auto before = evaluate_pairs(model, many, test::two_principles(), requests());
  const auto after = evaluate_pairs(turned, many, test::two_principles(), requests());
  ASSERT_TRUE(before && after);
  const auto rates = compare(*before, *after);
  ASSERT_EQ(rates.size(), 2U);
  for (const PairedRate& rate : rates) {
    EXPECT_EQ(rate.counts.before_only, 12);
    EXPECT_NEAR(rate.p.value(), 2 * std::pow(0.5, 12), 1e-12);
  }
}

TEST(PairPanel, FilesReadBack) {
  ScriptedModel model(script(false));
  const auto read = evaluate_pairs(model, pairs(), test::two_principles(), requests());
  ASSERT_TRUE(read);
  const std::string path = (std::filesystem::temp_directory_path() / ("pairs-" + std::to_string(::getpid()) + ".json")).string();
  ASSERT_TRUE(write_file(path, to_json(*read)));
  const auto again = load_pair_reading(path);
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_EQ(to_json(*again), to_json(*read));
  std::filesystem::remove(path);
}

TEST(PairPanel, NeedsScoresOfTexts) {
  Script words = script(false);
  words.can_score = false;
  ScriptedModel model(std::move(words));
  EXPECT_FALSE(evaluate_pairs(model, pairs(), test::two_principles(), requests()));
}

}  // namespace
}  // namespace precept
