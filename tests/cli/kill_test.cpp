// The whole way from prompts to weights, killed with SIGKILL at random moments and resumed: the same bytes,
// and nothing that was stored is done again. PRECEPT_KILLS sets how many kills must land (default 6).

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <tuple>

#include <nlohmann/json.hpp>

#include "precept/core/rng.h"
#include "precept/store/run_store.h"
#include "tests/cli/program.h"

namespace precept {
namespace {

// What run.db holds: of each step when it was done and what was written. A step done again has another time.
using Rows = std::map<std::tuple<std::int64_t, int, StepKind>, std::pair<std::int64_t, std::string>>;

class Kill : public ProgramTest {
 protected:
  static constexpr const char* kExports[] = {"sft", "preferences", "traces"};

  void make_prompts(int count) {
    const Ran made = run("pocket prompts --seed 5 --out p.jsonl --count " + std::to_string(count));
    ASSERT_EQ(made.code, 0) << made.err;
  }
  static std::string revise(const std::string& folder, const std::string& how) {
    return "revise --quiet --model pocket --prompts p.jsonl --draft-max-tokens 32 --critique-max-tokens 16 "
           "--revision-max-tokens 32 "
           "--seed 7 --run " +
           folder + how;
  }
  static std::string train(const std::string& folder, const std::string& how) {
    return "train sft --quiet --model pocket --epochs 1 --batch-tokens 192 --checkpoint-every 1 --seed 7 "
           "--run " +
           folder + how;
  }
  static std::string export_of(const std::string& folder, const std::string& what) {
    return "export --quiet --what " + what + " --run " + folder + " --out " + folder + "/" + what + ".jsonl";
  }
  void expect_done(const std::string& arguments) const {
    const Ran ran = run(arguments);
    ASSERT_EQ(ran.code, 0) << arguments << "\n" << ran.err;
  }

  Rows rows(const std::string& folder) const {
    Rows out;
    if (!std::filesystem::exists(path(folder + "/run.db"))) return out;
    const auto store = RunStore::open_readonly(path(folder));
    if (!store) return out;  // killed before there was anything in it
    const auto add = [&out](const RunItem&, const std::vector<StepRecord>& steps) {
      for (const StepRecord& step : steps)
        out[{step.item, step.round, step.kind}] = {step.time_ms, step.text};
      return true;
    };
    EXPECT_TRUE(store->visit(add));
    return out;
  }
  // Steps that the stored state of the training has behind it.
  std::int64_t trained(const std::string& folder) const {
    std::ifstream in(path(folder + "/models/sl.state/train.state"), std::ios::binary);
    std::string head;
    if (!std::getline(in, head)) return 0;
    const auto json = nlohmann::json::parse(head, nullptr, false);
    return json.is_object() ? json.value("step", std::int64_t{0}) : 0;
  }

  // One session that is killed `delay_ms` after `reached` first says yes. True: killed; false: it ended
  // before, and well.
  bool kill_session(const std::string& arguments, const std::function<bool()>& reached,
                    std::uint64_t delay_ms) const {
    const pid_t child = start(arguments);
    EXPECT_GT(child, 0);
    int status = 0;
    bool gone = false;
    while (!gone && !reached()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      gone = ::waitpid(child, &status, WNOHANG) == child;
    }
    if (!gone) {
      std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
      ::kill(child, SIGKILL);
      EXPECT_EQ(::waitpid(child, &status, 0), child);
    }
    EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << arguments << "\n" << slurp(path("stderr"));
    return WIFSIGNALED(status);
  }

  // One session of alignment that is killed after so long. True: killed; false: it ended before, as the undisturbed one did.
  bool kill_rounds(const std::string& arguments, std::uint64_t delay_ms, int code) const {
    const pid_t child = start(arguments);
    EXPECT_GT(child, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    ::kill(child, SIGKILL);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == code) << arguments << "\n" << slurp(path("stderr"));
    return WIFSIGNALED(status);
  }

  // Sessions with any batch and threads: they change no result either.
  std::string any_how() {
    static const char* const kHow[] = {" --threads 1", " --threads 2"};
    return kHow[rng_.below(2)];
  }
  std::string any_batch() {
    static const char* const kBatch[] = {" --batch 1", " --batch 7", " --batch 64"};
    return kBatch[rng_.below(3)];
  }

  void disturb_revise(const std::string& folder, const Rows& whole, int kills);
  void disturb_exports(const std::string& folder);
  void disturb_train(const std::string& folder, std::int64_t steps, int kills);

  Rng rng_{{.seed = 20}};
  int killed_ = 0, midway_ = 0;  // midway: with some steps stored, but not all
};

void expect_kept(const Rows& before, const Rows& now) {
  for (const auto& [key, row] : before) {
    const auto it = now.find(key);
    ASSERT_NE(it, now.end()) << "a stored step was lost";
    ASSERT_EQ(it->second, row) << "a stored step was done again";
  }
}

void Kill::disturb_revise(const std::string& folder, const Rows& whole, int kills) {
  Rows stored;
  bool ended = false;
  for (int k = 0; k < kills && !ended; ++k) {
    // The first kill anywhere from the start of the program on, the others spread over what is left to do.
    const std::size_t left = whole.size() - stored.size();
    const std::size_t mark = k == 0 ? 0 : stored.size() + 1 + rng_.below(left / static_cast<std::size_t>(kills - k) + 1);
    const std::uint64_t delay = rng_.below(k == 0 ? 800 : 80);
    ended = !kill_session(
        revise(folder, any_how() + any_batch()), [&] { return mark == 0 || rows(folder).size() >= mark; },
        delay);
    killed_ += ended ? 0 : 1;
    const Rows now = rows(folder);
    expect_kept(stored, now);
    stored = now;
    midway_ += !ended && !stored.empty() && stored.size() < whole.size() ? 1 : 0;
  }
  expect_done(revise(folder, ""));
  expect_kept(stored, rows(folder));
}

void Kill::disturb_exports(const std::string& folder) {
  for (const char* what : kExports) {
    const auto now = [] { return true; };
    killed_ += kill_session(export_of(folder, what), now, rng_.below(15)) ? 1 : 0;
    const std::string file = folder + "/" + what + ".jsonl";
    if (std::filesystem::exists(path(file))) {
      EXPECT_TRUE(slurp(path(file)) == slurp(path("plain/" + std::string(what) + ".jsonl")))
          << "whole or absent";
    }
    expect_done(export_of(folder, what));
  }
}

void Kill::disturb_train(const std::string& folder, std::int64_t steps, int kills) {
  std::int64_t stored = 0;
  bool ended = false;
  for (int k = 0; k < kills && !ended; ++k) {
    const auto left = static_cast<std::uint64_t>(steps - stored);
    const std::int64_t mark = k == 0 ? 0 : stored + 1 + static_cast<std::int64_t>(rng_.below(left / static_cast<std::uint64_t>(kills - k) + 1));
    ended = !kill_session(
        train(folder, any_how()), [&] { return trained(folder) >= mark; }, rng_.below(k == 0 ? 500 : 60));
    killed_ += ended ? 0 : 1;
    const std::int64_t now = trained(folder);
    EXPECT_GE(now, stored) << "stored steps of the training were lost";
    stored = now;
    midway_ += !ended && stored > 0 && stored < steps ? 1 : 0;
  }
  expect_done(train(folder, ""));
}

TEST_F(Kill, AnywhereOnTheWayGivesTheSameBytes) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const char* wanted = std::getenv("PRECEPT_KILLS");
  const int kills = wanted == nullptr ? 6 : std::atoi(wanted);
  ASSERT_NO_FATAL_FAILURE(make_prompts(60));
  ASSERT_NO_FATAL_FAILURE(expect_done(revise("plain", "")));
  for (const char* what : kExports) ASSERT_NO_FATAL_FAILURE(expect_done(export_of("plain", what)));
  ASSERT_NO_FATAL_FAILURE(expect_done(train("plain", "")));
  const Rows whole = rows("plain");
  const std::int64_t steps = trained("plain");
  ASSERT_GT(whole.size(), 200U);
  ASSERT_GT(steps, 8);

  for (int round = 0; killed_ < kills && round < kills + 2; ++round) {
    const std::string folder = "round" + std::to_string(round);
    ASSERT_NO_FATAL_FAILURE(disturb_revise(folder, whole, 3));
    ASSERT_NO_FATAL_FAILURE(disturb_exports(folder));
    ASSERT_NO_FATAL_FAILURE(disturb_train(folder, steps, 3));
    EXPECT_EQ(rows(folder).size(), whole.size()) << "as many rows, each of them one call";
    EXPECT_EQ(trained(folder), steps);
    for (const std::string file :
         {"sft.jsonl", "preferences.jsonl", "traces.jsonl", "models/sl/model.safetensors"}) {
      const std::string expected = slurp(path("plain/" + file));
      EXPECT_GT(expected.size(), 1000U) << file;
      EXPECT_TRUE(slurp(path(folder + "/" + file)) == expected) << folder << "/" << file;
    }
    // Finished: nothing is left to do.
    const Rows done = rows(folder);
    ASSERT_NO_FATAL_FAILURE(expect_done(revise(folder, "")));
    EXPECT_EQ(rows(folder), done);
    std::filesystem::remove_all(path(folder));
  }
  std::printf("killed %d times, %d of them midway\n", killed_, midway_);
  EXPECT_GE(killed_, kills);
  EXPECT_GE(midway_, 1);
}

// Rounds of alignment, killed at any moment of their time and gone on with: the same models, labels and decisions.
TEST_F(Kill, RoundsOfAlignmentEndInTheSameBytes) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const char* wanted = std::getenv("PRECEPT_KILLS");
  const int kills = wanted == nullptr ? 3 : std::atoi(wanted);
  const auto align = [](const std::string& folder, const std::string& how) {
    return "align --quiet --pocket-prompts 24 --panel 40 --judge-cases 8 --label-samples 2 --rl-prompts-per-step 4 --rl-samples 4 --rl-epochs 1"
           " --sl-epochs 1 --seed 7 --out " + folder + how;
  };
  const auto began = std::chrono::steady_clock::now();
  const Ran plain = run(align("plain", ""));
  ASSERT_LE(plain.code, 1) << plain.err;
  const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
  std::set<std::string> files = {"rounds.json", "sl/sft.jsonl"};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path("plain"))) {
    const std::string name = std::filesystem::relative(entry.path(), path("plain")).string();
    if (entry.path().extension() == ".safetensors" || entry.path().filename() == "labels.jsonl") files.insert(name);
  }
  ASSERT_GE(files.size(), 6U) << "sl, a reward model with its head, a round, labels";
  int sessions = 0;
  while (killed_ < kills && ++sessions < 4 * kills) {
    const std::string folder = "rounds" + std::to_string(sessions);
    for (int k = 0; k < 3; ++k) {  // each session gets further than the one before, or is the last
      killed_ += kill_rounds(align(folder, any_how() + any_batch()), rng_.below(static_cast<std::uint64_t>(whole)), plain.code) ? 1 : 0;
    }
    ASSERT_EQ(run(align(folder, "")).code, plain.code);
    for (const std::string& file : files) EXPECT_TRUE(slurp(path(folder + "/" + file)) == slurp(path("plain/" + file))) << folder << "/" << file;
    EXPECT_FALSE(std::filesystem::exists(path(folder + "/models/round-1.state")));
    std::filesystem::remove_all(path(folder));
  }
  std::printf("killed %d times\n", killed_);
  EXPECT_GE(killed_, kills);
}

TEST_F(Kill, BatchAndThreadsChangeNoByte) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_NO_FATAL_FAILURE(make_prompts(12));
  std::map<std::string, std::string> expected;
  for (const int batch : {64, 7, 1}) {
    for (const int threads : {1, 2}) {
      const std::string folder = "b" + std::to_string(batch) + "t" + std::to_string(threads);
      const std::string how = " --batch " + std::to_string(batch) + " --threads " + std::to_string(threads);
      ASSERT_NO_FATAL_FAILURE(expect_done(revise(folder, how)));
      for (const char* what : kExports) {
        ASSERT_NO_FATAL_FAILURE(expect_done(export_of(folder, what)));
        const std::string bytes = slurp(path(folder + "/" + what + ".jsonl"));
        ASSERT_GT(bytes.size(), 100U);
        EXPECT_TRUE(expected.emplace(what, bytes).first->second == bytes) << folder << " " << what;
      }
    }
  }
}

}  // namespace
}  // namespace precept
