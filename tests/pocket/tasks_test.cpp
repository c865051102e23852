// Tiny programming tasks: right answers pass in the sandbox, nearly right ones do not, and no numbers are on both sides of the split.

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "precept/feedback/code/code_test.h"
#include "worlds/pocket/tasks.h"

namespace precept::pocket {
namespace {

// A kind's numbers, in their order.
std::string numbers_of(const TinyTask& task) {
  std::string digits = task.kind;
  for (const char c : task.prompt.substr(task.prompt.find("\"\"\""))) digits += c >= '0' && c <= '9' ? c : ' ';
  digits.erase(std::unique(digits.begin(), digits.end(), [](char a, char b) { return a == ' ' && b == ' '; }), digits.end());
  return digits;
}

TEST(PocketTasks, ArePureFunctionsOfTheirNumbers) {
  const TinyTask a = make_task(Split::kTrain, 3, 17), b = make_task(Split::kTrain, 3, 17);
  EXPECT_EQ(a.id, "train/17/" + a.kind);
  EXPECT_EQ(a.prompt + a.solution + a.test, b.prompt + b.solution + b.test);
  EXPECT_NE(a.prompt + a.test, make_task(Split::kTrain, 4, 17).prompt + make_task(Split::kTrain, 4, 17).test);
}

TEST(PocketTasks, SplitsShareNoNumbersOfAKind) {
  std::map<std::string, std::set<std::string>> seen[2];
  for (int s = 0; s < 2; ++s) {
    for (std::uint64_t i = 0; i < 6000; ++i) {
      const TinyTask task = make_task(s == 0 ? Split::kTrain : Split::kHeldOut, 1, i);
      seen[s][task.kind].insert(numbers_of(task));
    }
  }
  for (const std::string& kind : task_kinds()) {
    EXPECT_GE(seen[0][kind].size(), 50U) << kind;
    EXPECT_GE(seen[1][kind].size(), 10U) << kind;
    for (const std::string& numbers : seen[1][kind]) EXPECT_EQ(seen[0][kind].count(numbers), 0U) << numbers;
  }
}

TEST(PocketTasks, RightAnswersPassAndNearlyRightOnesFail) {
  Result<Sandbox> sandbox = Sandbox::open();
  if (!sandbox) GTEST_SKIP() << sandbox.error().message() << ": no program was run";
  SandboxLimits limits = code_limits();
  limits.wall_seconds = 300;  // test machines are busy
  limits.cpu_seconds = 60;
  std::map<std::string, int> tested;
  std::vector<std::string> surprises;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const TinyTask tiny = make_task(i % 2 == 0 ? Split::kTrain : Split::kHeldOut, 5, i);
    const CodeTask task{tiny.id, tiny.prompt, tiny.entry_point, tiny.solution, tiny.test, 0};
    ++tested[tiny.kind];
    const auto expect = [&](const std::string& body, CodeVerdict::Value value) {
      test_code(*sandbox, task, function_of(tiny, body), limits, [&surprises, value, what = tiny.prompt + body](const CodeVerdict& verdict) {
        if (verdict.value != value) surprises.push_back(what + verdict.why + verdict.detail);
        // A program that cannot be read is not nearly right.
        if (verdict.detail.find("SyntaxError") != std::string::npos || verdict.detail.find("NameError") != std::string::npos) surprises.push_back(what + verdict.detail);
      });
    };
    expect(tiny.solution, CodeVerdict::Value::kPassed);
    EXPECT_GE(tiny.wrong.size(), 2U);
    for (const std::string& body : tiny.wrong) expect(body, CodeVerdict::Value::kFailed);
  }
  while (sandbox->advance(std::chrono::milliseconds(1000)) > 0) {
  }
  for (const std::string& surprise : surprises) ADD_FAILURE() << surprise;
  EXPECT_EQ(tested.size(), task_kinds().size()) << "a kind was not tested";
}

}  // namespace
}  // namespace precept::pocket
