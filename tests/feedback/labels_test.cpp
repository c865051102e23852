// Preference labels with a scripted judge whose probabilities are known, so that every label can be worked out by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "precept/feedback/labels.h"
#include "precept/revise/compare_wording.h"
#include "tests/revise/fixture.h"

namespace precept {
namespace {

using testing_loop::Folder;
using testing_loop::has;
using testing_loop::item_of;
using testing_loop::small_constitution;
using testing_loop::yes_with;

// Says "rude", "kind" or "long" by its random numbers; rules 1 and 3 apply to all but prompts that say "nothing". A reply breaks
// "Be kind." with 0.8 when it is rude, else 0.2; "Be brief." with 0.7 when it is long, else 0.4. Asked to compare, it likes the one
// that is kind (0.9 to 0.1), and whatever is shown first by 0.05 more.
Script judge_script() {
  Script script;
  script.name = script.digest = "labels";
  script.can_score = true;
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages.back().content;
    if (has(text, "step by step")) return "Reply A or reply B, hm.";
    const char* words[] = {"rude words", "kind words", "long words"};
    return std::string(words[(request.key.round + request.key.item) % 3]);
  };
  script.on_score = [](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    const std::string& text = request.messages.front().content;
    for (const ScoreQuestion& question : request.questions) {
      double p = 0.5;
      if (question.options[0] == "A") {
        p = std::min(0.95, (has(text, "Reply A: kind") ? 0.9 : has(text, "Reply B: kind") ? 0.1 : 0.5) + 0.05);
      } else if (has(text, "\nReply: ")) {
        p = has(question.tail, "Be kind") ? (has(text, "Reply: rude") ? 0.8 : 0.2) : (has(text, "Reply: long") ? 0.7 : 0.4);
      } else {
        p = !has(text, "nothing") && (has(question.tail, "Be kind") || has(question.tail, "Be brief")) ? 0.9 : 0.1;
      }
      scores.logprobs.push_back(yes_with(p));
    }
    return scores;
  };
  return script;
}

std::vector<RunItem> items() {
  std::vector<RunItem> out;
  for (int i = 0; i < 12; ++i) out.push_back(item_of("p" + std::to_string(i), "Request " + std::to_string(i)));
  out.push_back(item_of("empty", "There is nothing to it"));
  return out;
}

struct Labelled {
  std::vector<PairLabel> pairs;
  LabelCounts counts;
  WalkResult result;
};

Labelled label(const Folder& folder, const LabelOptions& options, Script script = judge_script(), GivenPairs given = {}) {
  ScriptedModel model(std::move(script));
  const Constitution constitution = small_constitution();
  auto store = RunStore::open(folder.path(), label_recipe(options, constitution, model.info(), model.info(), given));
  EXPECT_TRUE(store) << (store ? "" : store.error().message());
  EXPECT_TRUE(store->set_items(items()));
  const auto result = label_items(constitution, options, given, model, model, *store, {});
  EXPECT_TRUE(result) << (result ? "" : result.error().message());
  Labelled out;
  out.result = *result;
  out.counts = *visit_labels(options, constitution, !given.empty(), *store, [&](PairLabel pair) { out.pairs.push_back(std::move(pair)); });
  return out;
}

double logit(double p) { return std::log(p / (1 - p)); }

// The log-odds of "complies" of two answers, and what the difference makes of them.
TEST(Labels, JudgedPairsAreDifferencesOfLogOdds) {
  Folder folder;
  const Labelled made = label(folder, {});
  EXPECT_EQ(made.counts.items, 13);
  EXPECT_EQ(made.counts.unguided, 1);
  EXPECT_EQ(made.counts.pairs + made.counts.identical, 12 * 6);
  EXPECT_EQ(made.counts.pairs, static_cast<std::int64_t>(made.pairs.size()));
  int rude = 0;
  for (const PairLabel& pair : made.pairs) {
    EXPECT_GE(pair.label, 0.5);
    EXPECT_EQ(pair.source, "samples");
    if (pair.rejected == "rude words") {  // tier of kindness lies above that of brevity: it decides
      EXPECT_EQ(pair.principle, "kind");
      EXPECT_NEAR(pair.label, 1 / (1 + std::exp(-(logit(0.8) - logit(0.2)))), 1e-6);
      ++rude;
    }
    if (pair.rejected == "long words" && pair.chosen == "kind words") {
      EXPECT_EQ(pair.principle, "brief") << "the only rule that tells the two apart";
      EXPECT_NEAR(pair.label, 1 / (1 + std::exp(-(logit(0.6) - logit(0.3)))), 1e-6);
    }
    EXPECT_NE(pair.chosen, "rude words");
  }
  EXPECT_GT(rude, 0);
}

TEST(Labels, ARandomPrincipleIsOneThatAppliesAndAlwaysTheSame) {
  LabelOptions random;
  random.principle = "random";
  Folder one, two;
  const Labelled a = label(one, random), b = label(two, random);
  ASSERT_EQ(a.pairs.size(), b.pairs.size());
  std::set<std::string> seen;
  for (std::size_t i = 0; i < a.pairs.size(); ++i) {
    EXPECT_EQ(label_line(a.pairs[i]), label_line(b.pairs[i]));
    seen.insert(a.pairs[i].principle);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"kind", "brief"}));
}

// By hand: a kind answer against another is 0.95 when shown first; shown second it is 1 - 0.15 = 0.85. The mean is 0.9.
TEST(Labels, ComparedPairsAreAskedInBothOrdersAndAveraged) {
  LabelOptions ab;
  ab.compare = "ab";
  Folder folder;
  const Labelled made = label(folder, ab);
  int kind = 0;
  for (const PairLabel& pair : made.pairs) {
    ASSERT_TRUE(pair.shown_first && pair.shown_second);
    if (pair.chosen != "kind words") continue;
    EXPECT_NEAR(pair.label, 0.9, 1e-6);
    EXPECT_NEAR(*pair.shown_first, 0.95, 1e-6);
    EXPECT_NEAR(*pair.shown_second, 0.85, 1e-6);
    ++kind;
  }
  EXPECT_GT(kind, 0);
}

TEST(Labels, ReasoningIsAskedForAndItsProbabilitiesClamped) {
  LabelOptions ab;
  ab.compare = "ab";
  ab.reasoning = true;
  Folder folder;
  const Labelled made = label(folder, ab);
  double most = 0;
  for (const PairLabel& pair : made.pairs) most = std::max(most, pair.label);
  EXPECT_NEAR(most, 0.6, 1e-9);
  auto store = RunStore::open_readonly(folder.path());
  ASSERT_TRUE(store);
  int reasons = 0;
  ASSERT_TRUE(store->visit([&](const RunItem&, const std::vector<StepRecord>& steps) {
    for (const StepRecord& step : steps) reasons += step.kind == StepKind::kReason && step.text == "Reply A or reply B, hm.";
    return true;
  }));
  EXPECT_EQ(reasons, 2 * static_cast<int>(made.pairs.size()));
  LabelOptions wrong;
  wrong.reasoning = true;
  EXPECT_FALSE(check(wrong));
}

TEST(Labels, WhatCannotBeReadIsNoLabelAndIsCounted) {
  Script script = judge_script();
  script.on_score = [usual = script.on_score](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    auto scores = usual(request);
    if (has(request.messages.front().content, "Reply: kind")) {
      for (auto& question : (*scores)->logprobs) question = {std::nan(""), std::nan("")};
    }
    return scores;
  };
  Folder folder;
  const Labelled made = label(folder, {}, script);
  EXPECT_GT(made.counts.unparseable, 0);
  for (const PairLabel& pair : made.pairs) EXPECT_NE(pair.chosen, "kind words");
  EXPECT_EQ(made.counts.pairs + made.counts.unparseable + made.counts.identical, 12 * 6);
}

TEST(Labels, GivenPairsKeepTheirOrder) {
  GivenPairs given;
  for (const RunItem& item : items()) given[item.id] = {"rude words", "kind words"};
  Folder folder;
  const Labelled made = label(folder, {}, judge_script(), given);
  ASSERT_EQ(made.pairs.size(), 12U);
  for (const PairLabel& pair : made.pairs) {
    EXPECT_EQ(pair.chosen, "rude words");
    EXPECT_LT(pair.label, 0.1);
    EXPECT_EQ(pair.source, "given");
  }
}

// Ends a run after so many answers, as a kill would.
TEST(Labels, AResumeAsksNothingTwiceAndGivesTheSameBytes) {
  Folder whole, parts;
  std::string expected, got;
  for (const PairLabel& pair : label(whole, {}).pairs) expected += label_line(pair);
  Script failing = judge_script();
  int answers = 0;
  failing.on_generate = [&answers, usual = failing.on_generate](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    if (++answers > 20) return failed("the endpoint is gone");
    return usual(request);
  };
  const Labelled first = label(parts, {}, failing);
  EXPECT_GT(first.result.failed, 0);
  const Labelled second = label(parts, {});
  EXPECT_EQ(second.result.failed, 0);
  EXPECT_GT(second.result.stored_steps, 0);
  for (const PairLabel& pair : second.pairs) got += label_line(pair);
  EXPECT_EQ(got, expected);
  const Labelled third = label(parts, {});
  EXPECT_EQ(third.result.new_steps, 0);
}

TEST(Labels, RevisionsAreFreePairs) {
  Folder folder;
  ScriptedModel model(testing_loop::busy_script());
  const Constitution constitution = small_constitution();
  const ReviseOptions options;
  auto store = RunStore::open(folder.path(), revise_recipe(options, constitution, model.info(), model.info()));
  ASSERT_TRUE(store);
  ASSERT_TRUE(store->set_items(testing_loop::many_items(40)));
  ASSERT_TRUE(revise(constitution, options, model, model, *store, {}));
  int pairs = 0;
  const auto counts = visit_revisions(*store, [&](const PairLabel& pair) {
    ++pairs;
    EXPECT_EQ(pair.source, "revision");
    EXPECT_TRUE(has(pair.chosen, "good now")) << pair.chosen;
    EXPECT_TRUE(has(pair.rejected, "bad")) << pair.rejected;
    EXPECT_NEAR(pair.label, 1 / (1 + std::exp(-2 * logit(0.9))), 1e-6);
  });
  ASSERT_TRUE(counts);
  EXPECT_GT(pairs, 5);
  EXPECT_EQ(counts->pairs, pairs);
}

TEST(Labels, APrinciplesOwnWordingAsks) {
  Principle principle;
  principle.text = "Be kind.";
  EXPECT_TRUE(has(compare_request({{"user", "hi"}}, principle, "x", "y").question, "Which of the two"));
  principle.preference = "Choose the kinder reply.";
  const CompareRequest request = compare_request({{"user", "hi"}}, principle, "x", "y");
  EXPECT_EQ(request.question.rfind("Choose the kinder reply.", 0), 0U);
  EXPECT_TRUE(has(request.question, "Reply A: x\nReply B: y"));
}

}  // namespace
}  // namespace precept
