#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "precept/core/io.h"
#include "precept/revise/summary.h"
#include "tests/revise/fixture.h"

namespace precept::testing_loop {
namespace {

constexpr int kItems = 1500;

// One process of a run, from opening its store to the end. Appends a line to `log` for each request that
// a model answered and, after a commit, the number of items that were reported as done.
int work(const std::string& folder, ReviseOptions options, int latency, int delay_us) {
  Script script = busy_script(latency);
  const auto inner = script.on_generate;
  script.on_generate = [inner, delay_us](const GenerateRequest& request) {
    if (delay_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
    return inner(request);
  };
  ScriptedModel model(script);
  const Constitution constitution = small_constitution();
  auto store = RunStore::open(folder, revise_recipe(options, constitution, model.info(), model.info()));
  if (!store) return 2;
  if (!store->set_items(many_items(kItems))) return 2;
  const std::string reported = folder + "/reported";
  const auto result = revise(constitution, options, model, model, *store, [&](const Event& event) {
    if (!write_file(reported, std::to_string(event.done))) std::abort();
  });
  return result && result->failed == 0 ? 0 : 3;
}

std::string undisturbed() {
  const Folder folder;
  EXPECT_EQ(work(folder.path(), {}, 0, 0), 0);
  return all_exports(folder.path());
}

std::int64_t rows(const std::string& folder) {
  auto store = RunStore::open_readonly(folder);
  return store ? summarize(*store)->total_calls : 0;
}

std::int64_t reported_done(const std::string& folder) {
  const auto text = read_file(folder + "/reported");
  return text ? std::atoll(text->c_str()) : 0;
}

TEST(Resume, KilledAtRandomMoments) {
  const char* wanted = std::getenv("PRECEPT_KILLS");
  const int kills = wanted ? std::atoi(wanted) : 12;
  const std::string expected = undisturbed();
  const Folder folder;
  const std::string run = folder.path();
  Rng rng({.seed = static_cast<std::uint64_t>(kills)});
  std::int64_t stored = 0;
  int killed = 0;
  bool finished = false;
  for (int attempt = 0; attempt < kills * 4 && killed < kills && !finished; ++attempt) {
    ReviseOptions options;
    options.concurrency = static_cast<int>(1 + rng.below(100));
    const int delay_us = kills > 20 ? 150 : 60;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(work(run, options, static_cast<int>(attempt % 4), delay_us));
    std::this_thread::sleep_for(std::chrono::milliseconds(rng.below(kills > 20 ? 60 : 120)));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    finished = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << "exit " << WEXITSTATUS(status);
    killed += WIFSIGNALED(status) ? 1 : 0;
    const std::int64_t now = rows(run);
    EXPECT_GE(now, stored) << "a stored step was lost";
    stored = now;
    auto store = RunStore::open_readonly(run);
    if (store && *store->item_count() > 0) {
      EXPECT_GE(*store->item_count() - *store->open_count(), reported_done(run)) << "reported as done, but lost";
    }
  }
  std::printf("killed %d times of %d\n", killed, kills);
  EXPECT_GE(killed, std::min(kills, 5)) << "the run ended too early to be killed often enough";

  // Undisturbed to the end: what was stored is not asked again.
  ScriptedModel model(busy_script());
  const Constitution constitution = small_constitution();
  const ReviseOptions options;
  const std::int64_t before = rows(run);
  {
    auto store = RunStore::open(run, revise_recipe(options, constitution, model.info(), model.info()));
    ASSERT_TRUE(store.has_value()) << store.error().message();
    ASSERT_TRUE(store->set_items(many_items(kItems)).has_value());
    ASSERT_TRUE(revise(constitution, options, model, model, *store, {}).has_value());
  }
  const std::int64_t after = rows(run);
  EXPECT_EQ(model.generate_calls() + model.score_calls(), after - before) << "a stored step was asked again";
  EXPECT_EQ(all_exports(run), expected);

  // A finished run is a no-op.
  const std::int64_t calls = model.generate_calls();
  auto store = RunStore::open(run, revise_recipe(options, constitution, model.info(), model.info()));
  EXPECT_EQ(revise(constitution, options, model, model, *store, {})->items, 0);
  EXPECT_EQ(model.generate_calls(), calls);
}

TEST(Resume, OrderAndConcurrencyChangeNothing) {
  const std::string expected = undisturbed();
  EXPECT_GT(expected.size(), 100000U);
  for (const int concurrency : {1, 7, 64}) {
    for (const int latency : {0, 9}) {
      const Folder folder;
      ReviseOptions options;
      options.concurrency = concurrency;
      if (concurrency == 1 && latency > 0) continue;  // slow, and nothing to reorder
      EXPECT_EQ(work(folder.path(), options, latency, 0), 0);
      EXPECT_TRUE(all_exports(folder.path()) == expected) << concurrency << " " << latency;
    }
  }
}

TEST(Resume, AnotherRecipeIsRefusedWithTheDifference) {
  const Folder folder;
  ScriptedModel model(busy_script());
  Constitution constitution = small_constitution();
  ReviseOptions options;
  const auto recipe = [&] { return revise_recipe(options, constitution, model.info(), model.info()); };
  { ASSERT_TRUE(RunStore::open(folder.path(), recipe()).has_value()); }
  options.concurrency = 3;
  options.give_up_after = 1;
  { ASSERT_TRUE(RunStore::open(folder.path(), recipe()).has_value()) << "these change no result"; }
  options.max_rounds = 2;
  options.draft_temperature = 0.7;
  const auto refused = RunStore::open(folder.path(), recipe());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(refused.error().what,
            "this run began with another recipe: was: max_rounds = 4; now: max_rounds = 2; "
            "was: draft_temperature = 1.0; now: draft_temperature = 0.7");
  options = {};
  constitution.templates["critique"] = "Now?\n{conversation}{reply}{principle}";
  EXPECT_TRUE(has(RunStore::open(folder.path(), recipe()).error().what, "templates"));
}

TEST(Resume, AStepMadeFromOtherInputsIsAnError) {
  const Folder folder;
  ScriptedModel model(busy_script());
  const ReviseOptions options;
  Constitution constitution = small_constitution();
  auto store = RunStore::open(folder.path(), "r");
  ASSERT_TRUE(store->set_items(many_items(1)).has_value());
  StepRecord step;
  step.kind = StepKind::kSelect;
  step.inputs = std::string(64, '0');
  ASSERT_TRUE(store->put(step).has_value());
  ASSERT_TRUE(store->commit().has_value());
  const auto result = revise(constitution, options, model, model, *store, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(has(result.error().what, "other inputs")) << result.error().what;
}

TEST(Resume, VerdictsOnPrinciplesThatWereNotAskedAboutAreAnError) {
  const Folder whole, damaged;
  ScriptedModel model(busy_script());
  const Constitution constitution = small_constitution();
  std::vector<StepRecord> steps;
  {
    auto store = RunStore::open(whole.path(), "r");
    ASSERT_TRUE(store->set_items(many_items(1)).has_value());
    ASSERT_TRUE(revise(constitution, {}, model, model, *store, {}).has_value());
    ASSERT_TRUE(store->visit([&](const RunItem&, const std::vector<StepRecord>& all) {
      steps = all;
      return true;
    }).has_value());
  }
  ASSERT_EQ(steps[0].kind, StepKind::kSelect);
  ASSERT_FALSE(steps[0].verdicts.empty());
  steps[0].verdicts[0].principle = "nobody-knows";
  auto store = RunStore::open(damaged.path(), "r");
  ASSERT_TRUE(store->set_items(many_items(1)).has_value());
  ASSERT_TRUE(store->put(steps[0]).has_value());
  ASSERT_TRUE(store->commit().has_value());
  const auto result = revise(constitution, {}, model, model, *store, {});
  ASSERT_FALSE(result.has_value());
  EXPECT_TRUE(has(result.error().what, "other principles")) << result.error().what;
}

TEST(Resume, AFullDiskLosesNothing) {
  const std::string expected = undisturbed();
  const Folder folder;
  ScriptedModel model(busy_script(3));
  const Constitution constitution = small_constitution();
  const ReviseOptions options;
  const std::string recipe = revise_recipe(options, constitution, model.info(), model.info());
  for (const std::int64_t pages : {120, 200, 300}) {
    auto store = RunStore::open(folder.path(), recipe);
    ASSERT_TRUE(store.has_value()) << store.error().message();
    ASSERT_TRUE(store->set_items(many_items(kItems)).has_value());
    ASSERT_TRUE(store->limit_pages(pages).has_value());
    const auto result = revise(constitution, options, model, model, *store, {});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().kind, ErrorKind::kFailed);
    EXPECT_TRUE(has(result.error().what, "disk is full")) << result.error().what;
    EXPECT_FALSE(store->commit().has_value()) << "nothing is written after a failed write";
  }
  auto store = RunStore::open(folder.path(), recipe);
  ASSERT_TRUE(store.has_value()) << store.error().message();
  ASSERT_TRUE(revise(constitution, options, model, model, *store, {}).has_value());
  EXPECT_TRUE(all_exports(folder.path()) == expected);
}

}  // namespace
}  // namespace precept::testing_loop
