// precept/feedback/solve: strategies, budget, resume, figures; with a scripted model and real programs in the sandbox.

#include <signal.h>
#include <sys/wait.h>

#include <filesystem>
#include <thread>

#include "precept/core/rng.h"
#include "precept/feedback/solve.h"
#include "precept/feedback/solve_item.h"
#include "precept/model/scripted_model.h"
#include "tests/feedback/sandbox_support.h"

namespace precept {
namespace {

CodeTask task_named(const std::string& id) {
  CodeTask task;
  task.id = id;
  task.prompt = "def answer():\n    \"\"\"" + id + "\"\"\"\n";
  task.entry_point = "answer";
  task.test = "def check(c):\n    assert c() == 42, 'not 42'\n";
  return task;
}

std::string fenced(const std::string& value) { return "```python\ndef answer():\n    return " + value + "\n```"; }

class Solve : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "precept_solve_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    options_.time_limit = 300;
    options_.sandboxes = 2;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // Runs to the end in `folder` and sums up.
  SolveSummary run(Script script, const std::string& folder = "run") {
    ScriptedModel model(std::move(script));
    calls_ = 0;
    auto sandbox = Sandbox::open({.parallel = 2, .bubblewrap = {}});
    EXPECT_TRUE(sandbox);
    auto store = RunStore::open(folder_ + "/" + folder, solve_recipe(options_, tasks_, model.info()));
    EXPECT_TRUE(store) << store.error().message();
    auto items = solve_items(options_, tasks_);
    EXPECT_TRUE(items) << items.error().message();
    const Status set = store->set_items(*items);
    EXPECT_TRUE(set);
    result_ = solve(tasks_, options_, model, *sandbox, *store, {});
    calls_ = model.generate_calls();
    auto summary = summarize_solve(*store, options_, tasks_, ks_);
    EXPECT_TRUE(summary) << summary.error().message();
    return std::move(*summary);
  }

  std::string folder_;
  SolveOptions options_;
  std::vector<CodeTask> tasks_ = {task_named("a"), task_named("b")};
  std::vector<std::int64_t> ks_ = {1};
  Result<WalkResult> result_ = WalkResult{};
  std::int64_t calls_ = 0;
};

// Right where the conversation holds `word`, else wrong. Notes are "look again".
Script right_after(const std::string& word) {
  Script script;
  script.on_generate = [word](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& last = request.messages.back().content;
    if (last.find("Do not write a program now") != std::string::npos) return "look again";
    std::string all;
    for (const Message& message : request.messages) all += message.role + ": " + message.content + "\n";
    return fenced(all.find(word) != std::string::npos ? "42" : "41");
  };
  return script;
}

TEST_F(Solve, OneTryIsWhatItIs) {
  const SolveSummary none = run(right_after("never said"));
  ASSERT_TRUE(result_) << result_.error().message();
  EXPECT_EQ(none.strategies[0].passed, 0);
  EXPECT_EQ(none.strategies[0].endings.at("failed"), 2);
  EXPECT_EQ(calls_, 2);
  const SolveSummary all = run(right_after("answer"), "other");
  EXPECT_EQ(all.strategies[0].passed, 2);
  EXPECT_EQ(*all.strategies[0].pass_at.at(1).value, 1);
  EXPECT_EQ(*all.strategies[0].pass_at.at(1).low, *proportion(2, 2).low) << "exact: one sample of each task";
}

// Each strategy is told from the others by what it lets the model see.
TEST_F(Solve, PersistingShowsTheFailure) {
  options_.strategy = "all";
  options_.max_tries = 3;
  const SolveSummary summary = run(right_after("AssertionError: not 42"));
  ASSERT_TRUE(result_) << result_.error().message();
  ASSERT_EQ(summary.strategies.size(), 4u);
  EXPECT_EQ(summary.strategies[0].passed, 0) << "one";
  EXPECT_EQ(summary.strategies[1].passed, 0) << "restart sees nothing of its failures";
  EXPECT_EQ(summary.strategies[2].passed, 2) << "persist sees them";
  EXPECT_EQ(*summary.strategies[2].tries.value, 2);
  EXPECT_EQ(summary.strategies[3].passed, 0) << "summary sees only the notes";
  EXPECT_EQ(*summary.strategies[2].difference->value, 1);
  EXPECT_EQ(*summary.strategies[1].difference->value, 0);
}

TEST_F(Solve, SummariesCarryTheNotesAndNothingElse) {
  options_.strategy = "persist,summary";
  options_.max_tries = 3;
  const SolveSummary summary = run(right_after("- look again"));
  ASSERT_TRUE(result_) << result_.error().message();
  EXPECT_EQ(summary.strategies[0].passed, 0);
  EXPECT_EQ(summary.strategies[1].passed, 2);
  EXPECT_EQ(*summary.strategies[1].tries.value, 2);
}

// A model that is right in one try of four, by the random stream of the request.
Script sometimes_right(int latency = 0) {
  Script script;
  script.latency = latency;
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    if (request.messages.back().content.find("Do not write a program now") != std::string::npos) return "look again";
    Rng rng(request.key);
    return fenced(rng.chance(0.25) ? "42" : std::to_string(rng.below(40)));
  };
  return script;
}

TEST_F(Solve, RestartsStopAtTheFirstPass) {
  tasks_.clear();
  for (int i = 0; i < 12; ++i) tasks_.push_back(task_named("t" + std::to_string(i)));
  options_.strategy = "one,restart";
  options_.budget = 100000;
  const SolveSummary summary = run(sometimes_right());
  ASSERT_TRUE(result_) << result_.error().message();
  EXPECT_LT(summary.strategies[0].passed, 12);
  EXPECT_EQ(summary.strategies[1].passed, 12) << "16 tries of 1 in 4";
  EXPECT_GT(*summary.strategies[1].tries.value, 1);
  // What one solves, restart solves at its first try: they share their random streams.
  for (std::size_t i = 0; i < tasks_.size(); ++i) EXPECT_GE(summary.strategies[1].tasks[i].passed, summary.strategies[0].tasks[i].passed);
  EXPECT_EQ(*summary.strategies[1].difference->value, 1 - *summary.strategies[0].pass_at.at(1).value);
}

TEST_F(Solve, TheBudgetEndsTheTries) {
  options_.strategy = "restart";
  options_.max_tries = 1000;
  options_.budget = 200;
  std::vector<int> allowed;
  Script script = right_after("never said");
  const auto inner = script.on_generate;
  script.on_generate = [&](const GenerateRequest& request) {
    allowed.push_back(request.sampling.max_tokens);
    return inner(request);
  };
  const SolveSummary summary = run(script);
  ASSERT_TRUE(result_) << result_.error().message();
  EXPECT_EQ(allowed.front(), 200);
  EXPECT_LT(allowed.back(), 200);
  EXPECT_GE(allowed.back(), 1);
  // What was spent stays within the budget, but for what the last try read again.
  EXPECT_GT(*summary.strategies[0].tokens.value, 100);
  EXPECT_LE(*summary.strategies[0].tokens.value, 200);
  EXPECT_GT(*summary.strategies[0].tries.value, 2);
}

TEST_F(Solve, WithoutTokenCountsFourBytesAreOne) {
  const Usage guessed = counted({}, "12345678", {{"user", std::string(300, 'x')}, {"assistant", std::string(100, 'y')}});
  EXPECT_EQ(guessed.prompt_tokens, 101);
  EXPECT_EQ(guessed.output_tokens, 3);
  EXPECT_EQ(counted({7, 0, 5}, "12345678", {}).prompt_tokens, 7);
}

TEST_F(Solve, TheFirstPromptIsFreeAndCachedTokensCount) {
  TokenCount count;
  count.add({100, 0, 3});
  EXPECT_EQ(count.spent(), 3u);
  count.add({110, 100, 2});
  EXPECT_EQ(count.spent(), 3u + 110u + 2u);
  EXPECT_EQ(count.first_prompt(), 100u);
  EXPECT_EQ(count.last_prompt(), 110u);
}

TEST_F(Solve, SamplesAndKs) {
  tasks_.clear();
  for (int i = 0; i < 8; ++i) tasks_.push_back(task_named("t" + std::to_string(i)));
  options_.samples = 5;
  ks_ = {1, 3, 5};
  const SolveSummary summary = run(sometimes_right());
  ASSERT_TRUE(result_) << result_.error().message();
  const StrategySummary& one = summary.strategies[0];
  EXPECT_EQ(one.samples, 40);
  double at_1 = 0, at_3 = 0, hat_3 = 0;
  for (const TaskTally& task : one.tasks) {
    EXPECT_EQ(task.samples, 5);
    at_1 += *pass_at_k(5, task.passed, 1) / 8;
    at_3 += *pass_at_k(5, task.passed, 3) / 8;
    hat_3 += *pass_hat_k(5, task.passed, 3) / 8;
  }
  EXPECT_NEAR(*one.pass_at.at(1).value, at_1, 1e-12);
  EXPECT_NEAR(*one.pass_at.at(3).value, at_3, 1e-12);
  EXPECT_NEAR(*one.pass_hat.at(3).value, hat_3, 1e-12);
  EXPECT_LT(*one.pass_at.at(1).value, *one.pass_at.at(5).value);
  EXPECT_EQ(one.pass_at.at(1).n, 8) << "the unit is the task";
}

TEST_F(Solve, AFailedRequestIsUnscoredAndTriedAgain) {
  Script script = right_after("answer");
  const auto inner = script.on_generate;
  script.on_generate = [inner](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    if (request.messages.back().content.find("\"\"\"b\"\"\"") != std::string::npos) return Result<std::string>(failed("no answer"));
    return inner(request);
  };
  const SolveSummary summary = run(script);
  ASSERT_TRUE(result_);
  EXPECT_EQ(result_->failed, 1);
  EXPECT_EQ(summary.strategies[0].unscored, 1);
  EXPECT_EQ(summary.strategies[0].pass_at.at(1).n, 1);
  EXPECT_EQ(summary.strategies[0].pass_at.at(1).unscored, 1);
  const SolveSummary again = run(right_after("answer"));
  EXPECT_EQ(again.strategies[0].passed, 2);
  EXPECT_EQ(calls_, 1) << "only what had failed";
}

TEST_F(Solve, AFinishedRunIsDone) {
  options_.strategy = "all";
  options_.samples = 2;
  const SolveSummary first = run(sometimes_right());
  EXPECT_GT(calls_, 0);
  const SolveSummary again = run(sometimes_right());
  EXPECT_EQ(calls_, 0);
  ASSERT_TRUE(result_);
  EXPECT_EQ(result_->items, 0);
  for (std::size_t i = 0; i < first.strategies.size(); ++i) EXPECT_EQ(first.strategies[i].passed, again.strategies[i].passed);
}

// Every stored step of a folder: when it was done and what it says.
std::vector<std::string> rows(const std::string& folder, bool times) {
  std::vector<std::string> out;
  auto store = RunStore::open_readonly(folder);
  if (!store) return out;
  EXPECT_TRUE(store->visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    for (const StepRecord& step : steps) {
      out.push_back(item.id + "|" + std::to_string(step.round) + step_name(step.kind) + "|" + step.text + (times ? std::to_string(step.time_ms) : ""));
    }
    return true;
  }));
  return out;
}

TEST_F(Solve, KilledAtRandomMomentsItRepeatsNothingAndEndsTheSame) {
  tasks_.clear();
  for (int i = 0; i < 30; ++i) tasks_.push_back(task_named("t" + std::to_string(i)));
  options_.strategy = "all";
  options_.max_tries = 3;
  run(sometimes_right(), "whole");
  Rng rng({.seed = 5});
  int killed = 0;
  std::vector<std::string> before;
  for (int attempt = 0; attempt < 20 && killed < 4; ++attempt) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      options_.concurrency = 1 + attempt;
      run(sometimes_right(3), "killed");
      ::_exit(result_ && result_->failed == 0 ? 0 : 1);
    }
    // A few steps further, however fast this machine is, and then at any moment of the next one.
    const std::size_t enough = before.size() + 1 + rng.below(20);
    int status = 0;
    pid_t ended = 0;
    while (ended == 0 && rows(folder_ + "/killed", false).size() < enough) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ended = ::waitpid(child, &status, WNOHANG);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(10)));
    if (ended == 0) {
      ::kill(child, SIGKILL);
      ended = ::waitpid(child, &status, 0);
    }
    ASSERT_EQ(ended, child);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    killed += WIFSIGNALED(status);
    const std::vector<std::string> now = rows(folder_ + "/killed", true);
    for (const std::string& row : before) EXPECT_NE(std::find(now.begin(), now.end(), row), now.end()) << "done again or lost: " << row;
    before = now;
    if (WIFEXITED(status)) break;
  }
  EXPECT_GE(killed, 2);
  run(sometimes_right(), "killed");
  EXPECT_EQ(rows(folder_ + "/killed", false), rows(folder_ + "/whole", false));
}

TEST_F(Solve, OptionsThatMakeNoSenseAreRefused) {
  options_.strategy = "restrat";
  auto unknown = strategies_of(options_);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().hint.find("restart"), std::string::npos) << unknown.error().hint;
  options_.strategy = "one,one";
  EXPECT_FALSE(strategies_of(options_));
  options_.strategy = "one,";
  EXPECT_FALSE(strategies_of(options_));
  options_.strategy = "persist";
  options_.completion = true;
  EXPECT_FALSE(strategies_of(options_));
  options_.strategy = "one";
  EXPECT_TRUE(strategies_of(options_));
}

TEST_F(Solve, CompletionContinuesThePromptAndStopsAtTheMargin) {
  options_.completion = true;
  Script script;
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    EXPECT_TRUE(request.raw);
    EXPECT_EQ(request.messages.back().content.rfind("def answer():\n", 0), 0u);
    EXPECT_EQ(request.sampling.stop.size(), 5u);
    return "    return 42\n";
  };
  EXPECT_EQ(run(script).strategies[0].passed, 2);
}

}  // namespace
}  // namespace precept
