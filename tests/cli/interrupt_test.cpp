// SIGINT and SIGTERM stop a command at a safe point: what is stored stays, one line says how to go on, and repeating the
// command gives what an undisturbed one gives.

#include <fcntl.h>
#include <signal.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/cli/program.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// Answers "no" to everything, but holds back every answer after the first `free` ones until it is opened.
class Gate {
 public:
  explicit Gate(int free) : free_(free) {}
  std::string answer() {
    std::unique_lock lock(mutex_);
    ++asked_;
    if (asked_ > free_) changed_.notify_all();
    changed_.wait(lock, [&] { return open_ || asked_ <= free_; });
    return "no";
  }
  void wait_until_holding() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::minutes(5), [&] { return asked_ > free_; })) << "nobody asks";
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int free_, asked_ = 0;
  bool open_ = false;
};

class Interrupt : public ProgramTest {
 protected:
  // The program in the background, its output in "stdout" and "stderr".
  pid_t start(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), binary_);
    const pid_t child = ::fork();
    if (child != 0) return child;
    if (::chdir(folder_.c_str()) != 0) ::_exit(99);
    ::signal(SIGINT, SIG_DFL);
    ::dup2(::open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0644), 1);
    ::dup2(::open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(99);
  }
  // Its exit code, or 1000 and the signal that killed it.
  static int wait_for(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // Sends `signal` once `due` holds; the program must stop by it and say how to go on.
  void stop_when(pid_t child, int signal, const std::function<bool()>& due) const {
    int status = 0;
    while (!due()) {
      ASSERT_EQ(::waitpid(child, &status, WNOHANG), 0) << "it ended before: " << slurp(path("stderr"));
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    ::kill(child, signal);
    EXPECT_EQ(wait_for(child), 130) << slurp(path("stderr"));
    EXPECT_NE(slurp(path("stderr")).find("precept: interrupted; repeat the command"), std::string::npos)
        << slurp(path("stderr"));
  }
  void expect_fine(const std::string& arguments) const {
    const Ran ran = run(arguments);
    ASSERT_EQ(ran.code, 0) << arguments << "\n" << ran.err;
  }
};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

TEST_F(Interrupt, ReviseKeepsWhatIsStored) {
  constexpr int kAnswered = 7;
  for (const int signal : {SIGINT, SIGTERM}) {
    SCOPED_TRACE(signal);
    Gate gate(kAnswered);
    const TestServer server({.content = [&](const nlohmann::json&) -> Result<std::string> { return gate.answer(); }});
    std::string prompts;
    for (int i = 0; i < 12; ++i) prompts += "{\"prompt\":\"Question " + std::to_string(i) + "\"}\n";
    put("prompts.jsonl", prompts);
    const std::string name = "r" + std::to_string(signal);
    const std::string command = "revise --prompts prompts.jsonl --constitution good.toml --concurrency 1 --model " +
                                server.base() + "#test --run ";
    const pid_t child = start(words_of(command + name));
    gate.wait_until_holding();
    stop_when(child, signal, [] { return true; });
    gate.open();
    expect_fine(command + name);
    const auto asked = server.stats().requests;
    expect_fine(command + "whole" + std::to_string(signal));
    const auto whole = server.stats().requests - asked;
    EXPECT_EQ(asked, whole + 1) << "only the call that the signal cut short was made twice";
    EXPECT_EQ(run("export --what traces --run " + name).out, run("export --what traces --run whole" + std::to_string(signal)).out);
  }
}

TEST_F(Interrupt, GenerateStopsWhileTheServerIsSilent) {
  Gate gate(0);
  const TestServer server({.content = [&](const nlohmann::json&) -> Result<std::string> { return gate.answer(); }});
  const pid_t child = start({"generate", "--model", server.base() + "#test", "--prompt", "Hello"});
  gate.wait_until_holding();
  stop_when(child, SIGINT, [] { return true; });
  gate.open();
}

TEST_F(Interrupt, TrainingGoesOnFromTheStepItStoppedAt) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  std::string data;
  for (int i = 0; i < 200; ++i) {
    data += "{\"prompt\":\"What is " + std::to_string(i) + " plus two?\",\"completion\":\"It is " + std::to_string(i + 2) + ".\"}\n";
  }
  put("sft.jsonl", data);
  const std::string command = "train sft --data sft.jsonl --epochs 2 --batch-tokens 128 --threads 1 --out ";
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string out = "m" + std::to_string(signal);
    const pid_t child = start(words_of(command + out));
    stop_when(child, signal, [&] { return !slurp(path(out + "/metrics.jsonl")).empty(); });
    EXPECT_TRUE(fs::exists(path(out + ".state/train.state"))) << "the state of the last step is kept, not of the last checkpoint";
    EXPECT_FALSE(fs::exists(path(out + "/model.safetensors")));
    expect_fine(command + out);
  }
  expect_fine(command + "whole");
  const std::string whole = slurp(path("whole/model.safetensors"));
  EXPECT_FALSE(whole.empty());
  EXPECT_TRUE(slurp(path("m" + std::to_string(SIGINT) + "/model.safetensors")) == whole);
  EXPECT_TRUE(slurp(path("m" + std::to_string(SIGTERM) + "/model.safetensors")) == whole);
}

// Its steps are long: none is lost.
TEST_F(Interrupt, ReinforcementLearningKeepsTheStepItStoppedAt) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  expect_fine("pocket prompts --count 40 --out p.jsonl");
  const std::string command = "train grpo --prompts p.jsonl --judge-weight 0 --format-weight 1 --prompts-per-step 4 --samples 2 --max-new-tokens 12 --panel 0 --out ";
  const pid_t child = start(words_of(command + "stopped"));
  stop_when(child, SIGTERM, [&] { return !slurp(path("stopped/metrics.jsonl")).empty(); });
  ASSERT_TRUE(fs::exists(path("stopped.state/train.state")));
  const std::string before = slurp(path("stopped/metrics.jsonl"));
  expect_fine(command + "stopped");
  const std::string after = slurp(path("stopped/metrics.jsonl")).substr(before.size());
  EXPECT_EQ(after.find("\"step\":1,"), std::string::npos) << "no step is done again: " << after.substr(0, 200);
  expect_fine(command + "whole");
  EXPECT_TRUE(slurp(path("stopped/model.safetensors")) == slurp(path("whole/model.safetensors")));
}

TEST_F(Interrupt, QuickstartGoesOn) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string command = "quickstart --prompts 40 --held-out 20 --out ";
  const pid_t child = start(words_of(command + "q"));
  stop_when(child, SIGTERM, [&] { return fs::exists(path("q/eval-base.json")); });
  EXPECT_FALSE(fs::exists(path("q/models/sl/model.safetensors")));
  expect_fine(command + "q");
  expect_fine(command + "whole");
  EXPECT_EQ(slurp(path("q/sft.jsonl")), slurp(path("whole/sft.jsonl")));
  EXPECT_TRUE(slurp(path("q/models/sl/model.safetensors")) == slurp(path("whole/models/sl/model.safetensors")));
  EXPECT_TRUE(fs::exists(path("q/report.html")));
}

}  // namespace
}  // namespace precept
