// Each trainer, killed with SIGKILL at random moments of its training and resumed, leaves what an undisturbed one leaves: the same
// bytes of weights and everything beside them, the same curves, and no other files.
// PRECEPT_KILLS sets how many kills must land in each trainer (default 2), PRECEPT_KILL_SIZE how many times longer the trainings are
// (default 1), PRECEPT_KILL_SEED the seed of the moments.

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include <nlohmann/json.hpp>

#include "precept/core/rng.h"
#include "tests/cli/program.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Curves as a reader takes them: of a step that was written twice, the last line.
using Curves = std::map<std::tuple<std::string, std::string, std::int64_t>, double>;

class TrainerKill : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (HasFatalFailure() || !has_engine()) return;
    // Temporary files of the program lie here, where what is left of them can be seen.
    fs::create_directory(path("tmp"));
    ASSERT_EQ(::setenv("TMPDIR", path("tmp").c_str(), 1), 0);
  }

  void TearDown() override {
    ::unsetenv("TMPDIR");
    ProgramTest::TearDown();
  }

  static std::string size(std::uint64_t examples) { return std::to_string(examples * setting("PRECEPT_KILL_SIZE", 1)); }

  void put_pairs() {
    ASSERT_EQ(run("pocket tasks --form pairs --seed 3 --out pairs.jsonl --count " + size(60)).code, 0);
  }

  Curves curves(const std::string& out) const {
    Curves all;
    std::istringstream lines(slurp(path(out + "/metrics.jsonl")));
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (json.is_object()) all[{json["stage"], json["name"], json["step"]}] = json["value"];  // else: cut by a kill
    }
    return all;
  }

  // Bytes of all files below a folder but the log, by their paths there.
  std::map<std::string, std::string> files(const std::string& folder) const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(path(folder))) {
      const std::string name = fs::relative(entry.path(), path(folder)).string();
      if (entry.is_regular_file() && name != "metrics.jsonl") all[name] = slurp(entry.path());
    }
    return all;
  }

  std::set<std::string> names(const std::string& folder) const {
    std::set<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(path(folder))) all.insert(fs::relative(entry.path(), path(folder)).string());
    return all;
  }

  static std::string command(const std::string& trainer, const std::string& out) {
    return "train " + trainer + " --quiet --seed 4 --checkpoint-every 2 --out " + out;
  }

  // Starts the trainer and kills it `after` its training began. False: it had ended before.
  bool kill_once(const std::string& arguments, const std::string& out, Milliseconds after) const {
    const std::string log = path(out + "/metrics.jsonl");
    const auto written = [&] { return fs::exists(log) ? fs::file_size(log) : 0; };
    const auto before = written();
    const pid_t child = start(arguments);
    EXPECT_GT(child, 0);
    int status = 0;
    bool gone = false;
    // It is past its start-up once it has written a number.
    while (!gone && written() == before) {
      std::this_thread::sleep_for(Milliseconds(2));
      gone = ::waitpid(child, &status, WNOHANG) == child;
    }
    if (!gone) {
      std::this_thread::sleep_for(after);
      ::kill(child, SIGKILL);
      EXPECT_EQ(::waitpid(child, &status, 0), child);
    }
    EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) != 0) << arguments << "\n" << slurp(path("stderr"));
    return WIFSIGNALED(status);
  }

  void expect_the_same_however_killed(const std::string& trainer);

  std::uint64_t kills_ = setting("PRECEPT_KILLS", 2), seed_ = setting("PRECEPT_KILL_SEED", 20);
};

void TrainerKill::expect_the_same_however_killed(const std::string& trainer) {
  const auto began = Clock::now();
  const Ran plain = run(command(trainer, "plain"));
  ASSERT_EQ(plain.code, 0) << plain.err;
  auto whole = std::chrono::duration_cast<Milliseconds>(Clock::now() - began);
  const auto expected = files("plain");
  const Curves expected_curves = curves("plain");
  ASSERT_EQ(expected.count("model.safetensors"), 1U);
  ASSERT_GT(expected_curves.size(), 6U);

  Rng rng({seed_, hash64(trainer), 0, 0});
  std::uint64_t killed = 0, rounds = 0;
  for (; killed < kills_; ++rounds) {
    ASSERT_LT(rounds, kills_ + 20) << "the trainings end before they are killed";
    const std::string out = "round" + std::to_string(rounds);
    // Some kills in one training, each at any moment of what an undisturbed one takes; those that come too late end the round.
    for (int sessions = 0; sessions < 4 && killed < kills_; ++sessions) {
      const Milliseconds after(rng.below(static_cast<std::uint64_t>(whole.count())));
      const auto started = Clock::now();
      if (!kill_once(command(trainer, out) + (rng.chance(0.5) ? " --threads 1" : " --threads 2"), out, after)) {
        if (sessions == 0) whole = std::min(whole, std::chrono::duration_cast<Milliseconds>(Clock::now() - started));  // the machine was busy
        break;
      }
      ++killed;
    }
    const Ran resumed = run(command(trainer, out));
    ASSERT_EQ(resumed.code, 0) << resumed.err;
    for (const auto& [name, bytes] : expected) {
      // The recipe and the model card name the folder.
      std::string now = slurp(path(out + "/" + name));
      for (std::size_t at = 0; (at = now.find(out, at)) != std::string::npos;) now.replace(at, out.size(), "plain");
      EXPECT_TRUE(now == bytes) << out << "/" << name;
    }
    EXPECT_EQ(curves(out), expected_curves);
    EXPECT_EQ(names(out), names("plain")) << "a killed session left something";
    EXPECT_EQ(names(out + ".state"), names("plain.state")) << "a killed session left something";
    fs::remove_all(path(out));
    fs::remove_all(path(out + ".state"));
  }
  EXPECT_EQ(names("tmp"), std::set<std::string>()) << "killed sessions left something";
  std::printf("%s\n  %llu kills in %llu trainings, the seed of their moments %llu; undisturbed it takes %.1f s\n", trainer.c_str(),
              static_cast<unsigned long long>(killed), static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(seed_),
              static_cast<double>(whole.count()) / 1000);
}

TEST_F(TrainerKill, Sft) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_EQ(run("pocket tasks --form sft --seed 3 --out sft.jsonl --count " + size(60)).code, 0);
  expect_the_same_however_killed("sft --data sft.jsonl --epochs 1 --batch-tokens 1024 --guard-every 5 --guard-patience 1000 --panel 20");
}

TEST_F(TrainerKill, Reward) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_NO_FATAL_FAILURE(put_pairs());
  expect_the_same_however_killed("reward --data pairs.jsonl --epochs 1 --batch-tokens 1024 --guard-every 5 --guard-patience 1000");
}

TEST_F(TrainerKill, Dpo) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_NO_FATAL_FAILURE(put_pairs());
  expect_the_same_however_killed("dpo --data pairs.jsonl --epochs 1 --batch-tokens 1024 --guard-every 5 --guard-patience 1000 --panel 20");
}

TEST_F(TrainerKill, GrpoByJudgeAndRules) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  ASSERT_EQ(run("pocket prompts --quiet --seed 5 --out p.jsonl --count " + size(32)).code, 0);
  expect_the_same_however_killed(
      "grpo --prompts p.jsonl --prompts-per-step 8 --samples 4 --updates 2 --dynamic-sampling --judge-verdicts --length-weight 0.1 --most-tokens 20"
      " --guard-every 3 --guard-patience 1000 --panel 20");
}

TEST_F(TrainerKill, GrpoByUnitTests) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  // A policy that writes programs, or there is nothing to learn from.
  ASSERT_EQ(run("pocket tasks --form sft --seed 3 --out sft.jsonl --count 700").code, 0);
  const Ran start = run("train sft --quiet --data sft.jsonl --epochs 1 --batch-tokens 1024 --lr 0.002 --panel 0 --out coder");
  ASSERT_EQ(start.code, 0) << start.err;
  ASSERT_EQ(run("pocket tasks --seed 5 --out tasks.jsonl --count " + size(24)).code, 0);
  expect_the_same_however_killed(
      "grpo --model coder --tasks tasks.jsonl --judge-weight 0 --prompts-per-step 8 --samples 4 --max-new-tokens 64 --guard-every 3 --guard-patience 1000"
      " --panel 20");
}

}  // namespace
}  // namespace precept
