// The walk by itself: items that write one or several steps each, with a scripted model.

#include "precept/store/walk.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "precept/model/await.h"
#include "precept/model/scripted_model.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

RunItem item_named(const std::string& id) {
  RunItem item;
  item.id = id;
  item.messages = {{"user", id}};
  return item;
}

// Answers come when the test says so, in the order that it says.
class ByHand : public Model {
 public:
  const ModelInfo& info() const override { return info_; }
  void submit(GenerateRequest request, GenerateDone done) override {
    asked.push_back(request.messages.back().content);
    waiting[request.messages.back().content] = std::move(done);
  }
  void submit(ScoreRequest, ScoreDone) override { std::abort(); }
  std::size_t advance(std::chrono::milliseconds) override {
    if (next < order.size()) {
      const auto done = std::move(waiting.at(order[next]));
      waiting.erase(order[next++]);
      Generation said;
      said.text = "said";
      done(std::move(said));
    }
    return waiting.size();
  }
  std::vector<std::string> order;  // which is answered next
  std::size_t next = 0;
  std::vector<std::string> asked;
  std::map<std::string, GenerateDone> waiting;

 private:
  ModelInfo info_;
};

class WalkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "precept-walk-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { fs::remove_all(root_); }

  RunStore store_of(const std::vector<std::string>& ids) {
    auto store = RunStore::open(root_ + "/run", "r");
    EXPECT_TRUE(store) << store.error().message();
    std::vector<RunItem> items;
    for (const std::string& id : ids) items.push_back(item_named(id));
    EXPECT_TRUE(store->set_items(items));
    return std::move(*store);
  }

  // Asks the model for `drafts` of each item; "none" asks for none.
  static Task<ItemTrace> drafts_of(StepLog& log, Model& model, ItemTrace trace, int drafts, std::vector<std::string>* ended) {
    Result<Ending> ending = Ending::kComplied;
    for (int round = 0; round < drafts && ending && trace.item.id != "none"; ++round) {
      const std::string inputs = trace.item.id + " " + std::to_string(round);
      const Result<const StepRecord*> stored = log.recall(trace, StepKind::kDraft, round, inputs);
      if (!stored) ending = tl::unexpected(stored.error());
      if (!stored || *stored) continue;
      GenerateRequest request;
      request.messages = trace.item.messages;
      const Result<Generation> said = co_await generate(model, std::move(request));
      if (!said) {
        ending = tl::unexpected(said.error());
        continue;
      }
      StepRecord step;
      step.kind = StepKind::kDraft;
      step.round = round;
      step.inputs = inputs;
      step.text = said->text;
      if (const Status kept = log.keep(trace, std::move(step)); !kept) ending = tl::unexpected(kept.error());
    }
    trace.end(ending);
    if (ended) ended->push_back(trace.item.id);
    co_return std::move(trace);
  }

  Result<WalkResult> walked(RunStore& store, Model& model, WalkOptions options = {}, int drafts = 1, const EventSink& events = {}) {
    StepLog log{store};
    options.stage = "walk";
    ended_.clear();
    steps_of_work_ = 0;
    return walk(log, options, [&](ItemTrace trace) { return drafts_of(log, model, std::move(trace), drafts, &ended_); },
                [&] {
                  ++steps_of_work_;
                  return model.advance(std::chrono::milliseconds(0));
                },
                events);
  }

  std::string root_;
  std::vector<std::string> ended_;
  int steps_of_work_ = 0;
};

std::vector<std::string> numbers(int count) {
  std::vector<std::string> ids;
  for (int i = 0; i < count; ++i) ids.push_back("i" + std::to_string(i));
  return ids;
}

Script says(const std::string& text) {
  Script script;
  script.on_generate = [text](const GenerateRequest&) -> std::optional<Result<std::string>> { return text; };
  return script;
}

TEST_F(WalkTest, ItemsEndInAnyOrderAndAPlaceIsGivenOnAtOnce) {
  RunStore store = store_of({"a", "b", "c", "d"});
  ByHand model;
  model.order = {"b", "c", "d", "a"};
  WalkOptions options;
  options.concurrency = 2;
  const auto result = walked(store, model, options);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(ended_, model.order);
  EXPECT_EQ(model.asked, (std::vector<std::string>{"a", "b", "c", "d"})) << "begun in their order";
  EXPECT_EQ(steps_of_work_, 4) << "c took the place of b, d that of c";
  EXPECT_EQ(result->items, 4);
  EXPECT_EQ(result->new_steps, 4);
  EXPECT_EQ(*store.open_count(), 0);
}

TEST_F(WalkTest, ItemsThatAskNothingEndAtOnce) {
  RunStore store = store_of({"none"});
  ByHand model;
  const auto result = walked(store, model);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(steps_of_work_, 0);
  EXPECT_EQ(result->items, 1);
  EXPECT_EQ(result->new_steps, 0);
  EXPECT_EQ(*store.open_count(), 0);
}

TEST_F(WalkTest, OneThatFailsStaysOpenAndTheOthersGoOn) {
  RunStore store = store_of(numbers(5));
  Script script = says("yes");
  script.rules.push_back({ScriptedRule::Kind::kFail, {"i2"}, "no power", {}});
  const auto inner = std::exchange(script.on_generate, nullptr);
  script.on_generate = [inner](const GenerateRequest& request) { return request.messages[0].content == "i2" ? std::nullopt : inner(request); };
  ScriptedModel model(script);
  std::vector<std::string> warnings;
  const auto result = walked(store, model, {}, 1, [&](const Event& event) {
    if (event.kind == Event::Kind::kWarning) warnings.push_back(event.text);
  });
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->items, 5);
  EXPECT_EQ(result->failed, 1);
  EXPECT_EQ(result->first_failure, "i2: no power");
  EXPECT_EQ(warnings, std::vector<std::string>{"item i2: no power"});
  EXPECT_EQ(*store.open_count(), 1);
  // Only that one is tried again.
  ScriptedModel mended(says("yes"));
  const auto again = walked(store, mended);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->items, 1);
  EXPECT_EQ(mended.generate_calls(), 1);
  EXPECT_EQ(*store.open_count(), 0);
}

TEST_F(WalkTest, ManyFailuresInARowEndTheRun) {
  RunStore store = store_of(numbers(50));
  Script script;
  script.rules.push_back({ScriptedRule::Kind::kFail, {}, "gone", {}});
  ScriptedModel model(script);
  WalkOptions options;
  options.concurrency = 1;
  options.give_up_after = 7;
  options.noun = "sample";
  const auto result = walked(store, model, options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().what, "7 samples in a row failed: i0: gone");
  EXPECT_EQ(model.generate_calls(), 7);
}

TEST_F(WalkTest, AtALimitNothingNewIsBegunAndWhatWasOnItsWayIsKept) {
  RunStore store = store_of(numbers(9));
  Script script;
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    if (request.messages[0].content != "i1") return "yes";
    return Result<std::string>(tl::unexpected(Error{"the ceiling is reached", "", "", 0, ErrorKind::kLimit}));
  };
  ScriptedModel model(script);
  WalkOptions options;
  options.concurrency = 3;
  const auto result = walked(store, model, options, 2);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kLimit);
  EXPECT_EQ(*store.open_count(), 7) << "i0 and i2 went to their ends, i1 stays pending, and no other was begun";
  EXPECT_EQ(model.generate_calls(), 5);
}

// The store dies while items wait: the walk ends, and answers that come afterwards find nobody.
TEST_F(WalkTest, StoppedInTheMiddleItLeavesNothingBehind) {
  RunStore store = store_of({"a", "b", "c"});
  ByHand model;
  model.order = {"a", "b", "c"};
  StepLog log{store};
  const auto result = walk(log, {"walk", "item", 3, 0}, [&](ItemTrace trace) { return drafts_of(log, model, std::move(trace), 1, &ended_); },
                           [&] {
                             const std::size_t left = model.advance(std::chrono::milliseconds(0));
                             log.storage = failed("the disk is full");
                             return left;
                           },
                           {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().what, "the disk is full");
  EXPECT_EQ(model.waiting.size(), 2u);
  model.advance(std::chrono::milliseconds(0));
  model.advance(std::chrono::milliseconds(0));
  EXPECT_TRUE(model.waiting.empty());
  EXPECT_EQ(ended_, std::vector<std::string>{"a"});
}

TEST_F(WalkTest, AnAnswerThatNeverComesIsAnError) {
  RunStore store = store_of({"a"});
  struct Deaf : ByHand {
    std::size_t advance(std::chrono::milliseconds) override { return 0; }
  } model;
  const auto result = walked(store, model);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().what, "a model dropped a request without an answer");
  EXPECT_EQ(steps_of_work_, 3);
}

TEST_F(WalkTest, StoredStepsAreNotMadeAgain) {
  {
    RunStore store = store_of(numbers(3));
    Script script = says("first");
    int left = 3;
    const auto inner = script.on_generate;
    script.on_generate = [&left, inner](const GenerateRequest& request) -> std::optional<Result<std::string>> {
      if (left-- > 0) return inner(request);
      return Result<std::string>(failed("gone"));
    };
    ScriptedModel model(script);
    WalkOptions options;
    options.concurrency = 1;
    const auto result = walked(store, model, options, 2);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->failed, 2) << "i1 at its second step, i2 at its first";
    EXPECT_EQ(result->new_steps, 3);
  }
  RunStore store = store_of(numbers(3));
  ScriptedModel model(says("second"));
  const auto result = walked(store, model, {}, 2);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->items, 2);
  EXPECT_EQ(result->stored_steps, 1);
  EXPECT_EQ(result->new_steps, 3);
  EXPECT_EQ(model.generate_calls(), 3);
  std::vector<std::string> texts;
  ASSERT_TRUE(store.visit([&](const RunItem&, const std::vector<StepRecord>& steps) {
    for (const StepRecord& step : steps) texts.push_back(step.text);
    return true;
  }));
  EXPECT_EQ(texts, (std::vector<std::string>{"first", "first", "first", "second", "second", "second"}));
}

TEST_F(WalkTest, AStepOfOtherInputsEndsTheRun) {
  RunStore store = store_of({"a"});
  StepRecord step;
  step.inputs = "something else";
  step.round = 0;
  step.kind = StepKind::kDraft;
  ASSERT_TRUE(store.put(step));
  ASSERT_TRUE(store.commit());
  ScriptedModel model(says("yes"));
  const auto result = walked(store, model);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().what, "the stored draft step of item a (round 0) was made from other inputs");
  EXPECT_EQ(result.error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(model.generate_calls(), 0);
}

// What is told as done has been committed: a reader of the folder sees it.
TEST_F(WalkTest, OnlyWhatIsCommittedIsReported) {
  RunStore store = store_of(numbers(300));
  ScriptedModel model(says("yes"));
  std::int64_t last = -1;
  double calls = -1;
  WalkOptions options;
  options.concurrency = 4;
  const auto result = walked(store, model, options, 2, [&](const Event& event) {
    EXPECT_EQ(event.stage, "walk");
    if (event.kind == Event::Kind::kMetric) {
      EXPECT_EQ(event.name, "calls");
      EXPECT_GE(event.value, calls);
      calls = event.value;
      return;
    }
    EXPECT_EQ(event.unit, "items");
    EXPECT_EQ(event.total, 300);
    EXPECT_GE(event.done, last);
    last = event.done;
    const auto reader = RunStore::open_readonly(root_ + "/run");
    ASSERT_TRUE(reader);
    EXPECT_GE(300 - *reader->open_count(), event.done);
  });
  ASSERT_TRUE(result);
  EXPECT_EQ(last, 300);
  EXPECT_EQ(calls, 600);
}

}  // namespace
}  // namespace precept
