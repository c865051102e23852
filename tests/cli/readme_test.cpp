// The commands of the README do what they say, in their order, with less data.

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
