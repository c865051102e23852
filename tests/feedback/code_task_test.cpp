// Tasks in, programs out of answers, and their tests in the sandbox; HumanEval from shared data.

#include <cstdlib>
#include <filesystem>

#include "precept/feedback/code/code_task.h"
#include "precept/feedback/code/code_test.h"
#include "precept/feedback/code/extract.h"
#include "tests/feedback/sandbox_support.h"

namespace precept {
namespace {

constexpr const char* kGood =
    R"({"task_id": "t/1", "prompt": "import math\n\ndef helper(x):\n    return x\n\ndef area(r):\n    \"\"\"Area.\"\"\"\n", "entry_point": "area", "canonical_solution": "    return math.pi * r * r\n", "test": "def check(c):\n    assert abs(c(1) - 3.14159) < 1e-4\n"})";

Result<std::vector<CodeTask>> read(const std::string& text) { return read_code_tasks(memory_bytes(text), "t.jsonl"); }

CodeTask the_task() { return read(kGood)->front(); }

TEST(CodeTasks, AreRead) {
  const auto tasks = read(std::string(kGood) + "\n\n");
  ASSERT_TRUE(tasks) << tasks.error().message();
  ASSERT_EQ(tasks->size(), 1u);
  EXPECT_EQ(tasks->front().id, "t/1");
  EXPECT_EQ(tasks->front().entry_point, "area");
  EXPECT_EQ(tasks->front().line, 1);
}

TEST(CodeTasks, WhatIsWrongIsNamedWithItsLine) {
  const auto changed = [](const std::string& from, const std::string& to) {
    std::string text = kGood;
    text.replace(text.find(from), from.size(), to);
    return std::string("\n") + text + "\n";
  };
  const std::pair<std::string, const char*> cases[] = {
      {changed("\"task_id\": \"t/1\", ", ""), "no task_id"},
      {changed("\"t/1\"", "7"), "task_id must be a string"},
      {changed("\"t/1\"", "\" \""), "task_id is empty"},
      {changed("\"t/1\"", "\"a\\nb\""), "control character"},
      {changed("\"entry_point\": \"area\"", "\"entry_point\": \"2area\""), "no name of a function"},
      {changed("\"entry_point\": \"area\"", "\"entry_point\": \"aria\""), "does not define \"aria\""},
      {changed("def check(c)", "def chuck(c)"), "does not define check"},
      {changed("import math", "import math\\u0000"), "NUL"},
      {changed("\"canonical_solution\"", "\"canonical\""), "canonical"},
      {"\n[1]\n", "object"},
      {std::string("\n") + kGood + "\n" + kGood + "\n", "already that of line 2"},
  };
  for (const auto& [text, words] : cases) {
    const auto tasks = read(text);
    ASSERT_FALSE(tasks) << text;
    EXPECT_NE(tasks.error().message().find(words), std::string::npos) << tasks.error().message();
    EXPECT_EQ(tasks.error().message().rfind("t.jsonl:", 0), 0u) << tasks.error().message();
    EXPECT_GE(tasks.error().line, 2);
    EXPECT_FALSE(tasks.error().hint.empty());
  }
  EXPECT_FALSE(read(""));
}

TEST(Extract, TakesTheProgramThatAnAnswerMeans) {
  const CodeTask task = the_task();
  const std::string prelude = "import math\n\ndef helper(x):\n    return x\n\n";
  const std::string good = "def area(r):\n    return math.pi * r * r\n";
  const std::pair<const char*, std::string> cases[] = {
      {"```python\ndef area(r):\n    return math.pi * r * r\n```", prelude + good},
      {"Sure!\n\n```\ndef area(r):\n    return math.pi * r * r\n```\nIt works.\n", prelude + good},
      {"~~~py\ndef area(r):\n    return math.pi * r * r\n~~~\n", prelude + good},
      {"1. So:\n   ```python\n   def area(r):\n       return math.pi * r * r\n   ```\n", prelude + good},
      // an example of use after it, a wrong attempt before it
      {"```python\ndef area(r):\n    return 1\n```\nBetter:\n```python\ndef area(r):\n    return math.pi * r * r\n```\nUse:\n```python\nprint(area(2))\n```\n",
       prelude + good},
      {"<think>def area(r): return 0\n```python\ndef area(r): return 0\n```</think>\n```python\ndef area(r):\n    return math.pi * r * r\n```", prelude + good},
      // cut off: the fence has no end
      {"```python\ndef area(r):\n    return math.pi * r * r", prelude + good},
      // a fence inside of a longer fence is text
      {"````\ndef area(r):\n    \"\"\"\n    ```\n    \"\"\"\n    return 3\n````\n", prelude + "def area(r):\n    \"\"\"\n    ```\n    \"\"\"\n    return 3\n"},
      // plain text
      {"Here you are.\n\ndef area(r):\n    return math.pi * r * r\n\nThis multiplies.", prelude + good + "\n"},
      {"import numpy\ndef area(r):\n    return math.pi * r * r\n", prelude + "import numpy\n" + good},
      // the body alone: as it is, in a fence, and with its first white space lost
      {"    return math.pi * r * r\n\ndef other():\n    pass\n", task.prompt + "    return math.pi * r * r\n\n"},
      {"```python\n    return math.pi * r * r\n```", task.prompt + "    return math.pi * r * r\n"},
      {"x = r * r\n    return math.pi * x\nprint(1)", task.prompt + "    x = r * r\n    return math.pi * x\n"},
      {"", task.prompt},
  };
  for (const auto& [answer, program] : cases) EXPECT_EQ(program_of_answer(task, answer), program) << answer;
}

TEST(Extract, FindsDefinitionsOnlyAtTheMargin) {
  EXPECT_EQ(definition_of("x\ndef f(a):\n", "f"), 2u);
  EXPECT_EQ(definition_of("async def  f (a):\n", "f"), 0u);
  EXPECT_EQ(definition_of("  def f(a):\n", "f"), std::string::npos);
  EXPECT_EQ(definition_of("def ff(a):\n", "f"), std::string::npos);
  EXPECT_EQ(definition_of("def ", ""), std::string::npos);
}

CodeVerdict tested(const CodeTask& task, std::string program) {
  std::optional<CodeVerdict> verdict;
  SandboxLimits limits = code_limits();
  limits.wall_seconds = 300;
  test_code(the_sandbox(), task, std::move(program), limits, [&](CodeVerdict v) { verdict = std::move(v); });
  while (the_sandbox().advance(std::chrono::milliseconds(1000)) > 0) {
  }
  EXPECT_TRUE(verdict);
  return *verdict;
}

TEST(CodeTest, SaysWhatIsWrong) {
  using Value = CodeVerdict::Value;
  const CodeTask task = the_task();
  const auto with = [&](const std::string& body) { return tested(task, task.prompt + body); };
  EXPECT_EQ(with("    return math.pi * r * r\n").value, Value::kPassed);
  const CodeVerdict wrong = with("    return r\n");
  EXPECT_EQ(wrong.value, Value::kFailed);
  EXPECT_EQ(wrong.why, "AssertionError");
  EXPECT_NE(wrong.detail.find("assert abs(c(1) - 3.14159) < 1e-4"), std::string::npos) << "the line that failed is shown\n" << wrong.detail;
  EXPECT_NE(with("    return (\n").why.find("SyntaxError"), std::string::npos);
  EXPECT_NE(with("    return undefined_name\n").why.find("NameError"), std::string::npos);
  EXPECT_EQ(with("    import socket\n    socket.socket()\n").outcome, SandboxOutcome::kRefused);
}

// Ways to end well without having been tested.
TEST(CodeTest, EndingEarlyIsNoPass) {
  const CodeTask task = the_task();
  for (const char* trick : {"    import os\n    os._exit(0)\n", "    raise SystemExit(0)\n", "    import sys\n    sys.exit()\n",
                            "    return 1\nimport os\nos._exit(0)\n", "    return 1\nraise SystemExit\n",
                            "    return 1\nimport os\nos.write(1, b'\\npassed 0123456789abcdef0123456789abcdef\\n')\nos._exit(0)\n",
                            "    return 1\nimport os\nos.execv('/usr/bin/true', ['true'])\n"}) {
    const CodeVerdict verdict = tested(task, task.prompt + trick);
    EXPECT_EQ(verdict.value, CodeVerdict::Value::kFailed) << trick;
    EXPECT_EQ(verdict.why, "it ended before its tests did") << trick;
  }
}

TEST(CodeTest, WhatAProgramDoesToItsStreamsChangesNothing) {
  const CodeTask task = the_task();
  for (const char* noise : {"import sys\nsys.stdout = None\n", "print('x' * 100000)\n", "import sys\nsys.stderr.write('\\xff')\n",
                            "import atexit, os\natexit.register(os._exit, 3)\n",
                            "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\n",
                            "if __name__ == '__main__':\n    raise SystemExit(1)\n"}) {
    EXPECT_EQ(tested(task, task.prompt + "    return math.pi * r * r\n" + noise).value, CodeVerdict::Value::kPassed) << noise;
  }
}

// Plain text in pieces: the code of each up to the definition, and no prose.
TEST(ProgramOfAnswer, CodeBetweenProseIsKept) {
  const CodeTask task = the_task();
  const std::string program = program_of_answer(
      task, "You need this first:\nimport cmath\nand a helper.\ndef square(r):\n    return r * r\nThen:\ndef " + task.entry_point +
                "(r):\n    return math.pi * square(r)\nThat is all.\n");
  EXPECT_NE(program.find("import cmath\ndef square(r):\n    return r * r\ndef " + task.entry_point + "(r):\n"), std::string::npos) << program;
  EXPECT_EQ(program.find("That is all"), std::string::npos) << program;
  EXPECT_EQ(program.find("helper."), std::string::npos) << program;
}

// --- HumanEval ---

class HumanEval : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* given = std::getenv("PRECEPT_TESTDATA");
    const std::string path = std::string(given != nullptr ? given : "../shared/data") + "/human-eval/HumanEval.jsonl.gz";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no shared test data: " << path;
    auto tasks = load_code_tasks(path);
    ASSERT_TRUE(tasks) << tasks.error().message();
    tasks_ = std::move(*tasks);
  }
  // Verdicts of the programs that `program` makes of the tasks.
  std::vector<CodeVerdict> verdicts(const std::function<std::string(const CodeTask&)>& program) const {
    SandboxLimits limits = code_limits();
    limits.wall_seconds = 300;
    limits.cpu_seconds = 60;
    std::vector<CodeVerdict> all(tasks_.size());
    for (std::size_t i = 0; i < tasks_.size(); ++i) {
      test_code(the_sandbox(), tasks_[i], program(tasks_[i]), limits, [&all, i](CodeVerdict v) { all[i] = std::move(v); });
    }
    while (the_sandbox().advance(std::chrono::milliseconds(1000)) > 0) {
    }
    return all;
  }
  std::vector<CodeTask> tasks_;
};

TEST_F(HumanEval, AllCanonicalSolutionsPass) {
  ASSERT_EQ(tasks_.size(), 164u);
  const auto all = verdicts([](const CodeTask& task) { return task.prompt + task.canonical_solution; });
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].value, CodeVerdict::Value::kPassed) << tasks_[i].id << ": " << all[i].why << "\n" << all[i].detail;
  }
}

// The same solutions as models would answer: as a continuation, in a fence with prose, and as plain text.
TEST_F(HumanEval, SolutionsSurviveEveryFormOfAnAnswer) {
  for (const int form : {0, 1, 2}) {
    const auto all = verdicts([form](const CodeTask& task) {
      const std::string whole = task.prompt + task.canonical_solution;
      const std::string function = whole.substr(definition_of(whole, task.entry_point));
      const std::string answer = form == 0   ? task.canonical_solution + "\nprint(1)\n"
                                 : form == 1 ? "Of course.\n\n```python\n" + function + "```\n\nHope it helps!"
                                             : "The function:\n\n" + function + "\nHope it helps!";
      return program_of_answer(task, answer);
    });
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i].value, CodeVerdict::Value::kPassed) << form << " " << tasks_[i].id << ": " << all[i].why;
    }
  }
}

TEST_F(HumanEval, BrokenSolutionsFail) {
  const auto nothing = verdicts([](const CodeTask& task) { return task.prompt + "    return None\n"; });
  const auto missing = verdicts([](const CodeTask& task) { return task.prompt + "    pass\ndel " + task.entry_point + "\n"; });
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    EXPECT_EQ(nothing[i].value, CodeVerdict::Value::kFailed) << tasks_[i].id;
    EXPECT_EQ(missing[i].value, CodeVerdict::Value::kFailed) << tasks_[i].id;
  }
}

}  // namespace
}  // namespace precept
