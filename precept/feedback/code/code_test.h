#pragma once
// Does a program pass the tests of its task? Asked of the sandbox.

#include <functional>
#include <string>

#include "precept/feedback/code/code_task.h"
#include "precept/feedback/code/sandbox.h"

namespace precept {

// What a test of a model's program may use.
SandboxLimits code_limits();

struct CodeVerdict {
  enum class Value {
    kPassed,
    kFailed,    // whatever the reason: wrong, too slow, killed, refused
    kUnscored,  // the sandbox could not run it: nothing is known
  } value = Value::kUnscored;
  SandboxOutcome outcome = SandboxOutcome::kNotStarted;
  std::string why;     // one line for people; empty for kPassed
  std::string detail;  // kFailed: the end of what it wrote to stderr, valid UTF-8; what a model is shown
};

// Runs `program`, then the task's test on its entry point. Passed means that the last line of the test was reached: proven
// by a number that is drawn for each run and handed to the runner only there, so that a program which ends early with exit
// code 0 does not pass. (Program and test share one interpreter: one that sets out to forge its tests' assertions can; the
// review and held-out tests are what stands against that.)
// `done` is called inside sandbox.advance().
void test_code(Sandbox& sandbox, const CodeTask& task, std::string program, const SandboxLimits& limits,
               std::function<void(CodeVerdict)> done);

// The name of the interpreter's and the runner's wording, for digests of results: another one is another test.
std::string code_runner_digest();

}  // namespace precept
