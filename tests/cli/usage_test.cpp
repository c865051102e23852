// What is typed wrong is refused with what was probably meant, and output that is lost is an error.

#include <string>

#include "tests/cli/program.h"

namespace precept {
namespace {

class Usage : public ProgramTest {
 protected:
  // A slip of the pen: exit code 2, the words of the error, and the hint.
  void expect_slip(const std::string& arguments, const std::string& words, const std::string& hint) const {
    SCOPED_TRACE(arguments);
    const Ran ran = run(arguments);
    expect_error(ran, 2, words);
    EXPECT_NE(ran.err.find("hint: " + hint), std::string::npos) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
};

TEST_F(Usage, UnknownCommandsAndFlagsComeWithASuggestion) {
  expect_slip("revsie", "unknown command \"revsie\"", "did you mean revise?");
  expect_slip("constitution chek good.toml", "unknown command \"chek\"", "did you mean check?");
  expect_slip("xyzzy --seed 1", "unknown command \"xyzzy\"", "one of: quickstart, ");
  expect_slip("", "precept needs a command", "one of: quickstart, ");
  expect_slip("train", "precept train needs a command", "one of: sft, dpo, reward, grpo; see precept train --help");
  expect_slip("revise --modle pocket", "unknown flag \"--modle\" of precept revise", "did you mean --model?");
  expect_slip("pocket prompts --cuont=3", "unknown flag \"--cuont\" of precept pocket prompts", "did you mean --count?");
  expect_slip("--quite", "unknown flag \"--quite\" of precept", "did you mean --quiet?");
  expect_slip("report -x", "unknown flag \"-x\"", "see precept report --help");
  expect_slip("train sft data.jsonl", "unexpected argument \"data.jsonl\"", "see precept train sft --help");
  expect_slip("constitution check", "FILE is required", "see precept constitution check --help");
  expect_slip("pocket prompts --count x", "--count", "see precept pocket prompts --help");
}

TEST_F(Usage, HelpIsNoError) {
  for (const char* arguments : {"--help", "--version", "revise --help", "train sft --help", "pocket build --help"}) {
    const Ran ran = run(arguments);
    EXPECT_EQ(ran.code, 0) << arguments;
    EXPECT_EQ(ran.err, "") << arguments;
    EXPECT_FALSE(ran.out.empty()) << arguments;
  }
}

// Every command that prints a result without a trained model.
const char* const kPrinting[] = {
    "--help",
    "--version",
    "revise --help",
    "constitution check good.toml",
    "constitution check --json good.toml",
    "constitution show good.toml",
    "constitution show --json good.toml",
    "generate --model scripted:script.jsonl --prompt Hi",
    "generate --model scripted:script.jsonl --prompts prompts.jsonl --json",
    "pocket prompts --count 3",
    "pocket corpus --count 3",
    "pocket rules",
    "revise --model scripted:script.jsonl --prompts prompts.jsonl --constitution good.toml --run r",
    "export --what traces --run r",
    "eval --model scripted:script.jsonl --held-out 3 --run r",
    "report --run r"};

TEST_F(Usage, LostOutputIsAnError) {
  for (const std::string arguments : kPrinting) {
    SCOPED_TRACE(arguments);
    ASSERT_EQ(run(arguments).code, 0) << slurp(path("stderr"));
    expect_error(run(arguments + " > /dev/full"), 3, "standard output");
    expect_error(run(arguments + " >&-"), 3, "standard output");
  }
  EXPECT_EQ(run("export --what traces --run r").code, 0) << "what was written before is as it was";
}

}  // namespace
}  // namespace precept
