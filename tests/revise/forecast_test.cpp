#include "precept/revise/forecast.h"

#include <map>
#include <sstream>

#include "precept/revise/summary.h"
#include "tests/revise/fixture.h"

namespace precept::testing_loop {
namespace {

// The scripted model's tokens are words.
TokenBounds words(std::string_view text) {
  std::istringstream in{std::string(text)};
  std::int64_t count = 0;
  for (std::string word; in >> word;) ++count;
  return {count, count};
}

std::map<StepKind, ForecastStep> by_kind(const Forecast& forecast) {
  std::map<StepKind, ForecastStep> out;
  for (const ForecastStep& step : forecast.steps) out[step.kind] = step;
  return out;
}

void expect_within(const ForecastStep& step, std::int64_t calls, const Usage& tokens, bool scored) {
  SCOPED_TRACE(step_name(step.kind));
  EXPECT_LE(step.low.calls, calls);
  EXPECT_GE(step.high.calls, calls);
  if (scored) return;  // the script's own usage of scores is made up
  EXPECT_LE(step.low.prompt_tokens, tokens.prompt_tokens);
  EXPECT_GE(step.high.prompt_tokens, tokens.prompt_tokens);
  EXPECT_LE(step.low.output_tokens, tokens.output_tokens);
  EXPECT_GE(step.high.output_tokens, tokens.output_tokens);
}

// Runs the loop and looks whether it kept to what was foretold.
void check_run(ReviseOptions options, bool can_score) {
  const Folder folder;
  const Constitution constitution = small_constitution();
  const auto items = many_items(60);
  ScriptedModel model(busy_script(0, can_score));
  auto store = RunStore::open(folder.path(), revise_recipe(options, constitution, model.info(), model.info()));
  ASSERT_TRUE(store.has_value());
  ASSERT_TRUE(store->set_items(items).has_value());
  const auto made = forecast(constitution, options, items, {can_score ? JudgeWay::kScores : JudgeWay::kList}, words, words);
  ASSERT_TRUE(made.has_value()) << made.error().message();
  ASSERT_TRUE(revise(constitution, options, model, model, *store, {}).has_value());
  const auto summary = summarize(*store);
  const auto steps = by_kind(*made);
  EXPECT_EQ(made->items, 60);
  for (const auto& [name, calls] : summary->calls) {
    bool found = false;
    for (const auto& [kind, step] : steps) {
      if (name != step_name(kind)) continue;
      found = true;
      expect_within(step, calls, summary->tokens.at(name), can_score && step.judge);
    }
    EXPECT_TRUE(found) << name << " was not foretold";
  }
  EXPECT_EQ(steps.at(StepKind::kDraft).low.calls, 60);
  EXPECT_EQ(steps.at(StepKind::kDraft).high.calls, 60);
}

TEST(Forecast, RunsKeepWithinIt) {
  for (const bool can_score : {true, false}) {
    SCOPED_TRACE(can_score);
    ReviseOptions options;
    check_run(options, can_score);
    options.selection = "random";
    options.principles_per_round = 2;
    check_run(options, can_score);
    options.revise_compliant = true;
    options.max_rounds = 2;
    check_run(options, can_score);
  }
}

TEST(Forecast, SaysWhatIsCertain) {
  ReviseOptions options;
  options.selection = "random";
  options.revise_compliant = true;
  options.max_rounds = 3;
  const auto made = forecast(small_constitution(), options, many_items(7), {JudgeWay::kScores}, words, words);
  ASSERT_TRUE(made.has_value());
  const auto steps = by_kind(*made);
  EXPECT_EQ(steps.count(StepKind::kSelect) + steps.count(StepKind::kJudge), 0U);
  EXPECT_EQ(steps.at(StepKind::kCritique).low.calls, 21);
  EXPECT_EQ(steps.at(StepKind::kCritique).high.calls, 21);
  EXPECT_EQ(steps.at(StepKind::kDraft).low.prompt_tokens, 7 * 4);
  EXPECT_EQ(steps.at(StepKind::kDraft).high.output_tokens, 7 * options.draft_max_tokens);
}

TEST(Forecast, WhereTheWayIsNotKnownTheBoundsHoldForBoth) {
  const ReviseOptions options;
  const auto items = many_items(5);
  const auto of = [&](std::vector<JudgeWay> ways) {
    return by_kind(*forecast(small_constitution(), options, items, ways, tokens_by_bytes, tokens_by_bytes)).at(StepKind::kSelect);
  };
  const ForecastStep one = of({JudgeWay::kWords}), list = of({JudgeWay::kList}), both = of({JudgeWay::kWords, JudgeWay::kList});
  EXPECT_EQ(one.low.calls, 20);
  EXPECT_EQ(list.low.calls, 5);
  EXPECT_EQ(both.low.calls, 5);
  EXPECT_EQ(both.high.calls, 20);
  EXPECT_EQ(both.high.output_tokens, std::max(one.high.output_tokens, list.high.output_tokens));
  EXPECT_EQ(both.low.prompt_tokens, std::min(one.low.prompt_tokens, list.low.prompt_tokens));
}

TEST(Forecast, TokensByBytes) {
  EXPECT_EQ(tokens_by_bytes("").high, 0);
  EXPECT_EQ(tokens_by_bytes("123456789012345").low, 3);
  EXPECT_EQ(tokens_by_bytes("123456789012345").high, 5);
  EXPECT_EQ(tokens_by_bytes("1").low, 1);
}

}  // namespace
}  // namespace precept::testing_loop
