// The commands of the README do what they say, in their order, with less data.

#include <map>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/cli/program.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// What makes a command small: its text as it stands, and with less to do.
const std::vector<std::pair<std::string, std::string>> kSmaller = {
    {"precept quickstart ", "precept quickstart --prompts 30 --held-out 12 --judge-cases 6 "},
    {"--count 100 ", "--count 12 "},
    {"precept train sft ", "precept train sft --epochs 1 "},
    {"precept train dpo ", "precept train dpo --panel 12 "},
    {"precept train grpo ", "precept train grpo --prompts-per-step 6 --samples 4 --panel 12 "},
    {"precept eval --model ", "precept eval --held-out 12 --judge-cases 6 --model "},
    {"precept align --rounds 2 ", "precept align --rounds 1 --pocket-prompts 24 --panel 60 --label-samples 2 --rl-prompts-per-step 8 --rl-samples 4 --rl-epochs 1 --sl-epochs 1 --judge-cases 10 "},
    {"precept compare ", "precept compare --prompts 12 --held-out 12 "},
    {"precept bench engine --shape 135m", "precept bench engine --shape pocket --sequences 1,4 --tokens 8 --prefill 64"},
    {"precept bench loop", "precept bench loop --items 12"},
    {"precept bench queue", "precept bench queue --requests 200 --first 50"},
};

class Readme : public ProgramTest {
 protected:
  static fs::path source() {
    const char* root = std::getenv("PRECEPT_SOURCE");
    return root == nullptr ? "." : root;
  }
  // The lines of all ```sh blocks that begin with `word`, without comments.
  static std::vector<std::string> lines_of(const std::string& file, const std::string& word) {
    std::istringstream in(slurp(source() / file));
    std::vector<std::string> lines;
    bool inside = false;
    for (std::string line; std::getline(in, line);) {
      if (line.rfind("```", 0) == 0) inside = line == "```sh";
      if (!inside || line.rfind(word, 0) != 0) continue;
      line = line.substr(0, line.find(" #"));
      lines.push_back(line.substr(0, line.find_last_not_of(' ') + 1));
    }
    return lines;
  }
};

TEST_F(Readme, BothLanguagesShowTheSameCommands) {
  for (const char* word : {"precept ", "scripts/"}) {
    EXPECT_EQ(lines_of("README.md", word), lines_of("README.zh-CN.md", word));
  }
  const auto scripts = lines_of("README.md", "scripts/");
  EXPECT_EQ(scripts.size(), 2U);
  for (const std::string& script : scripts) EXPECT_EQ(::access((source() / script).c_str(), X_OK), 0) << script;
}

// All flags of a text.
std::set<std::string> flags_of(const std::string& text) {
  std::set<std::string> flags;
  const std::regex flag(R"((^|[^\w-])(--[a-z][a-z0-9-]*\*?))");
  for (std::sregex_iterator it(text.begin(), text.end(), flag), end; it != end; ++it) flags.insert((*it)[2]);
  return flags;
}

// Every option that either file names is one of the command it is named with, or, named alone, one of some command.
// `--rl-*` stands for all that begin so.
TEST_F(Readme, EveryOptionThatIsNamedExists) {
  std::map<std::string, std::set<std::string>> help;  // by command: "", "train", "train sft"...
  std::vector<std::string> open = {""};
  while (!open.empty()) {
    const std::string command = open.back();
    open.pop_back();
    const Ran ran = run((command.empty() ? "" : command + " ") + "--help");
    ASSERT_EQ(ran.code, 0) << command;
    help[command] = flags_of(ran.out);
    const std::size_t at = ran.out.find("Subcommands:\n");
    std::istringstream lines(at == std::string::npos ? "" : ran.out.substr(at + 13));
    for (std::string line; std::getline(lines, line) && line.rfind("  ", 0) == 0;) {
      open.push_back((command.empty() ? "" : command + " ") + line.substr(2, line.find(' ', 2) - 2));
    }
  }
  ASSERT_GT(help.size(), 25u);
  std::set<std::string> all;
  for (const auto& [command, flags] : help) all.insert(flags.begin(), flags.end());
  const auto in = [](const std::set<std::string>& flags, const std::string& flag) {
    if (flag.back() != '*') return flags.count(flag) > 0;
    const auto at = flags.lower_bound(flag.substr(0, flag.size() - 1));
    return at != flags.end() && at->rfind(flag.substr(0, flag.size() - 1), 0) == 0;
  };
  for (const char* file : {"README.md", "README.zh-CN.md"}) {
    const std::string text = slurp(source() / file);
    std::vector<std::string> spans = lines_of(file, "precept ");
    const std::regex code("`([^`\n]+)`");
    for (std::sregex_iterator it(text.begin(), text.end(), code), end; it != end; ++it) spans.push_back((*it)[1]);
    std::size_t with_a_command = 0, alone = 0;
    for (const std::string& span : spans) {
      std::string command;
      if (span.rfind("precept ", 0) == 0) {
        std::istringstream words(span.substr(8));
        for (std::string word; words >> word && help.count(command.empty() ? word : command + " " + word) > 0;) {
          command += (command.empty() ? "" : " ") + word;
        }
        EXPECT_FALSE(command.empty()) << file << ": " << span;
      }
      if (!command.empty()) ++with_a_command;
      if (command.empty() && span.rfind("--", 0) != 0 && span.rfind("train ", 0) != 0) continue;  // of other programs
      for (const std::string& flag : flags_of(span)) {
        EXPECT_TRUE(in(command.empty() ? all : help.at(command), flag)) << file << ": " << span << ": " << flag;
        alone += command.empty();
      }
    }
    EXPECT_GT(with_a_command, 25u) << file;
    EXPECT_GT(alone, 20u) << file;
  }
}

TEST_F(Readme, EveryCommandRuns) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  fs::create_directory_symlink(fs::absolute(source() / "constitutions"), folder_ / "constitutions");
  fs::create_directory_symlink(fs::absolute(source() / "recipes"), folder_ / "recipes");
  fs::remove(folder_ / "prompts.jsonl");  // a command makes it
  const auto lines = lines_of("README.md", "precept ");
  ASSERT_GE(lines.size(), 9U);
  std::size_t made_small = 0;
  for (std::string line : lines) {
    for (const auto& [text, smaller] : kSmaller) {
      const std::size_t at = line.find(text);
      if (at == std::string::npos) continue;
      line.replace(at, text.size(), smaller);
      ++made_small;
    }
    const Ran ran = run(line.substr(std::string("precept ").size()));
    const bool decides = line.rfind("precept align", 0) == 0;  // 1: the panel, here a small one, says no
    ASSERT_TRUE(ran.code == 0 || (decides && ran.code == 1)) << line << "\n" << ran.err;
  }
  EXPECT_EQ(made_small, kSmaller.size()) << "each of the texts stands in the README";
  EXPECT_TRUE(fs::exists(path("runs/quickstart/report.html")));
  EXPECT_TRUE(fs::exists(path("runs/first/report.html")));
}

}  // namespace
}  // namespace precept
