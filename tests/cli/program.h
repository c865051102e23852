#pragma once
// Runs the built program ($PRECEPT_BINARY) in a folder of its own, which holds prompts, a script and a constitution.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace precept {

struct Ran {
  int code = -1;
  std::string out;
  std::string err;
};

inline std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// In tests that open a checkpoint or train.
#define PRECEPT_SKIP_WITHOUT_ENGINE() \
  if (!has_engine()) GTEST_SKIP() << "built without language models"

class ProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* binary = std::getenv("PRECEPT_BINARY");
    ASSERT_NE(binary, nullptr) << "PRECEPT_BINARY names the program to test (ctest sets it)";
    ASSERT_TRUE(std::filesystem::exists(binary)) << binary << " is not built";
    binary_ = binary;
    std::string pattern = (std::filesystem::temp_directory_path() / "precept_cli_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    put("prompts.jsonl", "{\"id\":\"a\",\"prompt\":\"Say something.\"}\n{\"id\":\"b\",\"prompt\":\"More.\"}\n");
    put("script.jsonl", "{\"name\":\"s\",\"can_score\":false}\n{\"match\":\"\",\"reply\":\"no\"}\n");
    put("good.toml",
        "[constitution]\nname = \"n\"\nversion = \"1\"\nlanguage = \"en\"\nlicense = \"CC0-1.0\"\n"
        "priorities = [\"ethics\"]\n[[principle]]\nid = \"kind\"\ntext = \"Be kind.\"\n"
        "why = \"It helps.\"\npriority = \"ethics\"\nsource = { name = \"us\" }\n");
  }
  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::string put(const std::string& name, const std::string& bytes) {
    if (folder_.empty()) return {};  // SetUp failed: nothing is to land where the tests were started
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // Whether the program can open checkpoints and train: not so in builds that leave the language models out.
  bool has_engine() const { return std::filesystem::exists(std::filesystem::path(binary_).parent_path() / "libprecept_lm.so"); }

  // `before` is shell text in front of the program: environment, limits.
  Ran run(const std::string& arguments, const std::string& before = "") const {
    const std::string command = "cd '" + folder_.string() + "' && " + before + " '" + binary_ + "' " +
                                arguments + " 2> '" + path("stderr") + "'" +
                                (arguments.find('>') == std::string::npos ? " > '" + path("stdout") + "'" : "");
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, slurp(path("stdout")), slurp(path("stderr"))};
  }

  // The program at work beside the test, silent; whoever starts it waits for it.
  pid_t start(const std::string& arguments) const {
    const std::string command =
        "cd '" + folder_.string() + "' && exec '" + binary_ + "' " + arguments + " > /dev/null 2> '" + path("stderr") + "'";
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    return child;
  }

  // Exit code 2 or 3 as expected, exactly one error line and one hint, in this order at the end.
  static void expect_error(const Ran& outcome, int code, const std::string& words = "") {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    std::vector<std::string> errors;
    std::vector<std::string> hints;
    std::istringstream lines(outcome.err);
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("precept: error: ", 0) == 0) errors.push_back(line);
      if (line.rfind("hint: ", 0) == 0) hints.push_back(line);
    }
    ASSERT_EQ(errors.size(), 1U) << outcome.err;
    ASSERT_EQ(hints.size(), 1U) << outcome.err;
    EXPECT_GT(errors[0].size(), std::string("precept: error: ").size() + 5);
    EXPECT_GT(hints[0].size(), std::string("hint: ").size() + 5);
    EXPECT_NE(errors[0].find(words), std::string::npos) << errors[0];
  }

  std::filesystem::path folder_;
  std::string binary_;
};

}  // namespace precept
