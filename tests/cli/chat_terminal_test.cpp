// precept chat in a terminal: a pseudo-terminal, keys in, screen out.

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

class ChatTerminal : public ProgramTest {
 protected:
  void TearDown() override {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    if (terminal_ >= 0) ::close(terminal_);
    ProgramTest::TearDown();
  }

  void open(const std::vector<std::string>& arguments) {
    const winsize size{24, 80, 0, 0};
    child_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      ::setenv("TERM", "xterm", 1);
      ::setenv("LC_ALL", "C", 1);  // whatever the locale says
      ::setenv("HOME", folder_.c_str(), 1);
      if (::chdir(folder_.c_str()) != 0) _exit(126);
      std::vector<std::string> words = {binary_, "chat"};
      words.insert(words.end(), arguments.begin(), arguments.end());
      std::vector<char*> pointers;
      for (std::string& word : words) pointers.push_back(word.data());
      pointers.push_back(nullptr);
      ::execv(binary_.c_str(), pointers.data());
      _exit(127);
    }
    ASSERT_EQ(::fcntl(terminal_, F_SETFL, O_NONBLOCK), 0);
    prompted();
  }
  // Never blocks: the program may wait for its screen to be read before it reads on, and both would wait for ever.
  void keys(const std::string& text) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    for (std::size_t at = 0; at < text.size();) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "no keys are read after: " << screen_.substr(seen_);
      const ssize_t wrote = ::write(terminal_, text.data() + at, std::min<std::size_t>(text.size() - at, 512));
      ASSERT_TRUE(wrote > 0 || errno == EAGAIN) << std::strerror(errno);
      if (wrote > 0) at += static_cast<std::size_t>(wrote);
      drain(wrote > 0 ? 0 : 10);
    }
  }
  // Reads what the program shows until `what` comes after what was waited for before.
  void until(const std::string& what) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    while (screen_.find(what, seen_) == std::string::npos) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "no \"" << what << "\" after: " << screen_.substr(seen_);
      drain(100);
    }
    seen_ = screen_.find(what, seen_) + what.size();
  }
  // A prompt is shown a moment before the terminal hands over single keys; earlier ones are edited by the terminal itself.
  void prompted(const std::string& prompt = "> ") {
    until(prompt);
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    termios mode{};
    while (::tcgetattr(terminal_, &mode) == 0 && (mode.c_lflag & ICANON) != 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "no keys are read after: " << screen_;
      drain(1);
    }
  }
  int ended() {
    int status = 0;
    while (::waitpid(child_, &status, WNOHANG) == 0) drain(20);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }
  void drain(int wait_ms) {
    pollfd readable{terminal_, POLLIN, 0};
    char buffer[4096];
    while (::poll(&readable, 1, wait_ms) > 0) {
      const ssize_t got = ::read(terminal_, buffer, sizeof buffer);
      if (got <= 0) return;
      screen_.append(buffer, static_cast<std::size_t>(got));
      wait_ms = 0;
    }
  }
  std::vector<std::string> contents(const std::string& file) {
    std::vector<std::string> out;
    const auto saved = nlohmann::json::parse(slurp(path(file)), nullptr, false);
    if (!saved.is_object()) return out;
    for (const auto& message : saved["messages"]) out.push_back(message["content"]);
    return out;
  }

  pid_t child_ = -1;
  int terminal_ = -1;
  std::string screen_;
  std::size_t seen_ = 0;
};

TEST_F(ChatTerminal, LinesAreEditedWhateverTheirCharacters) {
  open({"--model", "scripted:script.jsonl"});
  keys("你好吗\x1b[D\x7f");  // to the left, and away with the one before the cursor
  keys("们\r");
  until("no\r\n");
  prompted();
  keys("\x1b[A!\r");  // the line before, and more
  until("no\r\n");
  prompted();
  keys("\"\"\"/one\r");
  prompted(". ");
  keys("two\"\"\"\r");
  until("no\r\n");
  prompted();
  std::string longer = "long ";
  while (longer.size() < 20'000) longer += "世界 ";  // a terminal alone takes lines of 4,096 bytes
  keys(longer + "\r");
  until("no\r\n");
  prompted();
  keys("/save kept.jsonl\r");
  prompted();
  keys("\x04");
  EXPECT_EQ(ended(), 0);
  EXPECT_EQ(contents("kept.jsonl"), (std::vector<std::string>{"你们吗", "no", "你们吗!", "no", " /one\ntwo", "no", longer, "no"}));
}

TEST_F(ChatTerminal, InterruptsForgetTheLineAndNotTheChat) {
  open({"--model", "scripted:script.jsonl"});
  keys("never sent\x03");
  until("Ctrl-D");
  prompted();
  keys("hello\r");
  until("no\r\n");
  prompted();
  keys("/save kept.jsonl\r");
  prompted();
  keys("/exit\r");
  EXPECT_EQ(ended(), 0);
  EXPECT_EQ(contents("kept.jsonl"), (std::vector<std::string>{"hello", "no"}));
}

TEST_F(ChatTerminal, AnAnswerIsSeenGrowingAndCanBeEnded) {
  TestServer server({.between_parts = std::chrono::milliseconds(150), .content = [](const nlohmann::json& request) -> Result<std::string> {
    const auto& asked = request["messages"].back()["content"];
    if (asked == "short") return std::string("done");
    std::string text = "begin";
    for (int i = 0; i < 2000; ++i) text += " word" + std::to_string(i);
    return text;
  }});
  open({"--model", server.base() + "#test", "--max-tokens", "4000"});
  keys("long\r");
  until("begin word0 word1");  // the server takes five minutes for all of it
  keys("\x03");
  until("^C");
  prompted();
  keys("short\r");
  until("done\r\n");
  prompted();
  keys("/save kept.jsonl\r");
  prompted();
  keys("\x04");
  EXPECT_EQ(ended(), 0);
  EXPECT_EQ(contents("kept.jsonl"), (std::vector<std::string>{"short", "done"}));
}

TEST_F(ChatTerminal, NoAnswerCommandsTheTerminal) {
  put("script.jsonl", "{\"name\":\"s\",\"can_score\":false}\n{\"match\":\"\",\"reply\":\"a\\u001b[2Jb\\u0007\\u009bc\\u007f\\tend\"}\n");
  open({"--model", "scripted:script.jsonl"});
  keys("x\r");
  until("a^[[2Jb^G^c^?\tend\r\n");
  prompted();
  keys("\x04");
  EXPECT_EQ(ended(), 0);
}

TEST_F(ChatTerminal, ADeadServerIsToldAndTheChatGoesOn) {
  auto server = std::make_unique<TestServer>();
  open({"--model", server->base() + "#test", "--retries", "0"});
  server.reset();
  keys("hello\r");
  until("error: ");
  prompted();
  keys("/save kept.jsonl\r");
  prompted();
  keys("\x04");
  EXPECT_EQ(ended(), 0);
  EXPECT_TRUE(contents("kept.jsonl").empty());
}

}  // namespace
}  // namespace precept
