#include "tests/revise/fixture.h"

#include "precept/revise/summary.h"

namespace precept::testing_loop {
namespace {

struct Ran {
  WalkResult result;
  RunSummary summary;
  std::vector<StepRecord> steps;  // of the first item
  RunItem first;
  std::int64_t generate_calls = 0, score_calls = 0;
};

Ran run_items(const std::string& folder, const std::vector<RunItem>& items, Script script, const ReviseOptions& options = {},
              const Constitution& constitution = small_constitution()) {
  Ran ran;
  ScriptedModel model(std::move(script));
  auto store = RunStore::open(folder, revise_recipe(options, constitution, model.info(), model.info()));
  EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message());
  if (!store) return ran;
  EXPECT_TRUE(store->set_items(items).has_value());
  const auto result = revise(constitution, options, model, model, *store, {});
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message());
  if (result) ran.result = *result;
  ran.summary = *summarize(*store);
  const Status visited = store->visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    ran.first = item;
    ran.steps = steps;
    return false;
  });
  EXPECT_TRUE(visited.has_value());
  ran.generate_calls = model.generate_calls();
  ran.score_calls = model.score_calls();
  return ran;
}

// Drafts `draft`; "kind" and "no-harm" apply; a reply with "rude" violates both.
Script plain_script(const std::string& draft, const std::string& revision) {
  Script script;
  script.on_score = [](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    const bool judging = has(request.messages[0].content, "Reply: ");
    for (const ScoreQuestion& question : request.questions) {
      const bool ours = has(question.tail, "kind") || has(question.tail, "harm");
      scores.logprobs.push_back(yes_with((judging ? has(request.messages[0].content, "Reply: rude") : ours) ? 0.8 : 0.3));
    }
    return scores;
  };
  script.on_generate = [=](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages.back().content;
    if (text.rfind("Say how", 0) == 0) return std::string("It is rude.");
    if (text.rfind("Rewrite", 0) == 0) return revision;
    return draft;
  };
  return script;
}

std::string kinds(const std::vector<StepRecord>& steps) {
  std::string all;
  for (const StepRecord& step : steps) all += std::string(step_name(step.kind)) + std::to_string(step.round) + " ";
  return all;
}

TEST(Loop, KeepsADraftThatComplies) {
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("  hello there \n", "unused"));
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 judge0 ");
  EXPECT_EQ(ran.first.ending, Ending::kComplied);
  EXPECT_EQ(ran.steps[1].text, "hello there");
  EXPECT_EQ(ran.summary.complied_at_once, 1);
  ASSERT_EQ(ran.steps[2].verdicts.size(), 2U) << "judged by the principles that apply only";
  EXPECT_EQ(ran.steps[2].verdicts[0].principle, "kind");
  EXPECT_NEAR(*ran.steps[2].verdicts[0].probability, 0.3, 1e-12);
  EXPECT_EQ(ran.score_calls, 2) << "one call selects, one call judges";
  const VerdictCount& selected = ran.summary.verdicts.at("select");
  EXPECT_EQ(selected.n, 4);
  EXPECT_EQ(selected.scored, 4);
  EXPECT_EQ(selected.uncertain, 4) << "0.8 and 0.3 are between 0.1 and 0.9";
  EXPECT_EQ(selected.unparseable, 0);
  EXPECT_EQ(ran.summary.verdicts.at("judge").n, 2);
}

TEST(Loop, RevisesUntilItComplies) {
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("rude words", "kind words"));
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 judge0 critique1 revision1 judge1 ");
  EXPECT_EQ(ran.first.ending, Ending::kRevised);
  EXPECT_EQ(ran.steps[3].principles, std::vector<std::string>{"no-harm"}) << "the hard constraint comes first";
  EXPECT_EQ(ran.steps[4].text, "kind words");
  EXPECT_EQ(ran.summary.by_rounds, (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(ran.summary.principles.at("no-harm").violated_draft, 1);
  EXPECT_EQ(ran.summary.principles.at("no-harm").violated_final, 0);
  EXPECT_DOUBLE_EQ(ran.summary.calls_per_item(), 6.0);
}

TEST(Loop, StopsAfterMaxRoundsUnsettled) {
  const Folder folder;
  ReviseOptions options;
  options.max_rounds = 2;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("rude words", "rude still"), options);
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 judge0 critique1 revision1 judge1 critique2 revision2 judge2 ");
  EXPECT_EQ(ran.first.ending, Ending::kUnsettled);
  EXPECT_EQ(ran.summary.principles.at("kind").violated_final, 1);
  auto store = RunStore::open_readonly(folder.path());
  ASSERT_TRUE(store.has_value());
  EXPECT_EQ(exported(*store, "sft"), "");
  ExportOptions all;
  all.include_unsettled = true;
  std::string lines;
  const auto counts = export_run(*store, all, [&](std::string_view line) { return lines += line, true; });
  EXPECT_EQ(counts->written, 1);
  EXPECT_EQ(lines, "{\"prompt\":\"Hello?\",\"completion\":\"rude still\"}\n");
}

TEST(Loop, AnEmptyOrUnchangedRevisionIsRecordedAndTheLoopGoesOn) {
  for (const char* revision : {"", "rude words"}) {
    const Folder folder;
    ReviseOptions options;
    options.max_rounds = 1;
    const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("rude words", revision), options);
    EXPECT_EQ(kinds(ran.steps), "select0 draft0 judge0 critique1 revision1 judge1 ");
    EXPECT_EQ(ran.steps[4].text, revision);
    auto store = RunStore::open_readonly(folder.path());
    EXPECT_EQ(exported(*store, "sft"), "") << "neither an empty nor a violating final is an example";
  }
}

TEST(Loop, NothingAppliesNothingIsJudged) {
  Constitution constitution = small_constitution();
  constitution.principles.erase(constitution.principles.begin(), constitution.principles.begin() + 2);
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("rude", "x"), {}, constitution);
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 ");
  EXPECT_EQ(ran.first.ending, Ending::kComplied);
}

TEST(Loop, UndefinedScoresAreUnparseable) {
  Script script = plain_script("fine", "x");
  script.on_score = [](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    const double nan = std::nan("");
    for (std::size_t i = 0; i < request.questions.size(); ++i) scores.logprobs.push_back({nan, -1.0});
    return scores;
  };
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, script);
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 judge0 ") << "no verdict is no reason to revise";
  EXPECT_EQ(ran.first.ending, Ending::kUnparseable);
  EXPECT_EQ(ran.steps[2].verdicts.size(), 4U) << "a principle whose selection cannot be read is judged";
  EXPECT_EQ(ran.summary.principles.at("kind").unparseable, 2);
  EXPECT_EQ(ran.summary.principles.at("kind").judged, 0);
}

TEST(Loop, ScoresOfTheWrongShapeFailTheItem) {
  Script script = plain_script("fine", "x");
  script.on_score = [](const ScoreRequest&) -> std::optional<Result<Scores>> { return Scores{}; };
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, script);
  EXPECT_EQ(ran.first.ending, Ending::kFailed);
}

TEST(Loop, AModelWithoutScoresIsAskedForLists) {
  Script script;
  script.can_score = false;
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages.back().content;
    if (has(text, "colon, then yes or no")) return std::string("1: yes\n2: no\n3: no\n4: no idea");
    if (has(text, "colon, then violates")) {
      return std::string(has(text, "Reply: rude") ? "1: violates\n2: complies" : "Rule 1 - complies\n2. complies");
    }
    if (text.rfind("Say how", 0) == 0) return std::string("Rude.");
    if (text.rfind("Rewrite", 0) == 0) return std::string("kind words");
    return std::string("rude words");
  };
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, script);
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 judge0 critique1 revision1 judge1 ");
  EXPECT_EQ(ran.first.ending, Ending::kRevised);
  EXPECT_EQ(ran.steps[0].verdicts[3].value, Verdict::Value::kUnparseable);
  EXPECT_EQ(ran.steps[2].verdicts.size(), 2U);
  EXPECT_EQ(ran.score_calls, 0);
  EXPECT_EQ(ran.generate_calls, 6);
}

TEST(Loop, RandomAlwaysMakesTheCallsOfThePaper) {
  ReviseOptions options;
  options.selection = "random";
  options.revise_compliant = true;
  options.max_rounds = 3;
  const Folder folder, again;
  const Ran ran = run_items(folder.path(), many_items(50), plain_script("kind", "kinder"), options);
  EXPECT_EQ(ran.score_calls, 0);
  EXPECT_EQ(ran.generate_calls, 50 * (1 + 2 * 3));
  EXPECT_EQ(kinds(ran.steps), "draft0 critique1 revision1 critique2 revision2 critique3 revision3 ");
  EXPECT_EQ(ran.summary.revised, 50);
  std::set<std::string> drawn;
  auto store = RunStore::open_readonly(folder.path());
  ASSERT_TRUE(store->visit([&](const RunItem&, const std::vector<StepRecord>& steps) {
    EXPECT_EQ(steps[1].principles, steps[2].principles) << "a revision answers its critique";
    for (const StepRecord& step : steps) drawn.insert(step.principles.begin(), step.principles.end());
    return true;
  }).has_value());
  EXPECT_EQ(drawn.size(), 4U) << "every principle is drawn at some time";
  run_items(again.path(), many_items(50), plain_script("kind", "kinder"), options);
  EXPECT_EQ(all_exports(folder.path()), all_exports(again.path()));
}

TEST(Loop, SelectionAndAlwaysVaryAlone) {
  ReviseOptions options;
  options.selection = "random";
  const Folder one, two;
  Ran ran = run_items(one.path(), {item_of("a", "Hello?")}, plain_script("rude", "kind"), options);
  EXPECT_EQ(kinds(ran.steps), "draft0 judge0 critique1 revision1 judge1 ");
  EXPECT_EQ(ran.steps[1].verdicts.size(), 1U);
  options.selection = "applicable";
  options.revise_compliant = true;
  options.max_rounds = 3;
  ran = run_items(two.path(), {item_of("a", "Hello?")}, plain_script("kind", "kind"), options);
  EXPECT_EQ(kinds(ran.steps), "select0 draft0 critique1 revision1 critique2 revision2 critique3 revision3 ");
  EXPECT_EQ(ran.steps[2].principles[0], "no-harm");
  EXPECT_EQ(ran.steps[4].principles[0], "kind");
  EXPECT_EQ(ran.steps[6].principles[0], "no-harm");
}

TEST(Loop, SeveralPrinciplesInOneRound) {
  ReviseOptions options;
  options.principles_per_round = 2;
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("rude", "kind"), options);
  EXPECT_EQ(ran.steps[3].principles, (std::vector<std::string>{"no-harm", "kind"}));
}

TEST(Loop, AFailedItemLeavesTheOthersAloneAndIsTriedAgain) {
  const auto script_of = [](bool broken) {
    Script script = busy_script();
    const auto inner = script.on_generate;
    script.on_generate = [inner, broken](const GenerateRequest& request) -> std::optional<Result<std::string>> {
      if (broken && has(request.messages.back().content, "number 3 ")) return Result<std::string>(failed("no answer"));
      return inner(request);
    };
    return script;
  };
  const Folder folder, whole;
  const Ran first = run_items(folder.path(), many_items(20), script_of(true));
  EXPECT_EQ(first.result.failed, 1);
  EXPECT_EQ(first.summary.failed, 1);
  EXPECT_EQ(first.summary.first_failure, "p3: no answer");
  EXPECT_EQ(first.summary.pending, 0);
  const Ran second = run_items(folder.path(), many_items(20), script_of(false));
  EXPECT_EQ(second.result.items, 1) << "only the failed one";
  EXPECT_EQ(second.result.stored_steps, 1) << "its selection was stored";
  run_items(whole.path(), many_items(20), script_of(false));
  EXPECT_EQ(all_exports(folder.path()), all_exports(whole.path()));
}

TEST(Loop, GivesUpWhenNothingAnswers) {
  Script script;
  script.rules = {{ScriptedRule::Kind::kFail, {}, "connection refused", {}}};
  ScriptedModel model(script);
  const Folder folder;
  ReviseOptions options;
  options.concurrency = 4;
  options.give_up_after = 10;
  auto store = RunStore::open(folder.path(), "r");
  ASSERT_TRUE(store->set_items(many_items(1000)).has_value());
  const auto result = revise(small_constitution(), options, model, model, *store, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(has(result.error().what, "connection refused")) << result.error().what;
  EXPECT_LT(model.score_calls(), 20);
}

TEST(Loop, TwoModelsShareTheWork) {
  ScriptedModel policy(plain_script("rude", "kind")), judge(plain_script("never", "never"));
  const Folder folder;
  const ReviseOptions options;
  auto store = RunStore::open(folder.path(), "r");
  ASSERT_TRUE(store->set_items(many_items(30)).has_value());
  const auto result = revise(small_constitution(), options, policy, judge, *store, {});
  ASSERT_TRUE(result.has_value()) << result.error().message();
  EXPECT_EQ(judge.generate_calls(), 0);
  EXPECT_EQ(judge.score_calls(), 90);
  EXPECT_EQ(policy.score_calls(), 0);
  EXPECT_EQ(policy.generate_calls(), 90);
}

TEST(Loop, ADroppedRequestIsAnError) {
  class Dropping : public ScriptedModel {
   public:
    using ScriptedModel::ScriptedModel;
    void submit(ScoreRequest, ScoreDone) override {}
  };
  Dropping model(plain_script("a", "b"));
  const Folder folder;
  auto store = RunStore::open(folder.path(), "r");
  ASSERT_TRUE(store->set_items(many_items(3)).has_value());
  const auto result = revise(small_constitution(), {}, model, model, *store, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(has(result.error().what, "dropped")) << result.error().what;
}

TEST(Loop, TextThatIsNotUtf8IsMendedBeforeItIsUsed) {
  const Folder folder;
  const Ran ran = run_items(folder.path(), {item_of("a", "Hello?")}, plain_script("rude \xE4\xBD", "kind\xFF"));
  EXPECT_EQ(ran.first.ending, Ending::kRevised) << ran.first.reason;
  EXPECT_EQ(ran.steps[4].text, "kind\xEF\xBF\xBD");
}

TEST(Loop, ProgressIsReportedForWhatIsDone) {
  ScriptedModel model(busy_script());
  const Folder folder;
  auto store = RunStore::open(folder.path(), "r");
  ASSERT_TRUE(store->set_items(many_items(40)).has_value());
  std::int64_t last = -1;
  double calls = 0;
  ReviseOptions options;
  options.concurrency = 3;
  const auto result = revise(small_constitution(), options, model, model, *store, [&](const Event& event) {
    if (event.kind == Event::Kind::kMetric) {
      EXPECT_EQ(event.name, "calls");
      EXPECT_GE(event.value, calls);
      calls = event.value;
      return;
    }
    EXPECT_EQ(event.total, 40);
    EXPECT_GE(event.done, last);
    last = event.done;
  });
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(last, 40);
  EXPECT_EQ(calls, static_cast<double>(result->new_steps));
}

TEST(Loop, OptionsOutOfRangeAreRefused) {
  ReviseOptions options;
  options.violation_threshold = std::nan("");
  EXPECT_FALSE(check(options).has_value());
  options = {};
  options.selection = "all";
  EXPECT_FALSE(check(options).has_value());
  options = {};
  options.concurrency = 0;
  EXPECT_FALSE(check(options).has_value());
  EXPECT_TRUE(check(ReviseOptions{}).has_value());
}

}  // namespace
}  // namespace precept::testing_loop
