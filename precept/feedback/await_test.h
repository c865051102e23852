#pragma once
// co_await tested(sandbox, task, program, limits) inside a Task, beside co_await of models. A Task may be destroyed while it
// waits: the answer is then dropped when it comes.

#include <coroutine>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "precept/feedback/code/code_test.h"

namespace precept {

class AwaitingTest {
 public:
  AwaitingTest(Sandbox& sandbox, const CodeTask& task, std::string program, const SandboxLimits& limits)
      : sandbox_(sandbox), task_(task), program_(std::move(program)), limits_(limits) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    test_code(sandbox_, task_, std::move(program_), limits_, [this, waiting, alive = std::weak_ptr<char>(alive_)](CodeVerdict verdict) {
      if (alive.expired()) return;
      verdict_.emplace(std::move(verdict));
      waiting.resume();  // destroys this object when the coroutine ends: nothing may follow
    });
  }
  CodeVerdict await_resume() { return std::move(*verdict_); }

 private:
  Sandbox& sandbox_;
  const CodeTask& task_;
  std::string program_;
  const SandboxLimits& limits_;
  std::optional<CodeVerdict> verdict_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

inline AwaitingTest tested(Sandbox& sandbox, const CodeTask& task, std::string program, const SandboxLimits& limits) {
  return {sandbox, task, std::move(program), limits};
}

}  // namespace precept
