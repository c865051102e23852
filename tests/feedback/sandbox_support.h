#pragma once
// What tests of the sandbox share: one opened sandbox, and Python programs in it.

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "precept/feedback/code/sandbox.h"

namespace precept {

// Limits that only a hostile program meets. The wall time is far above what any of them needs: test machines are busy.
inline SandboxLimits patient() {
  SandboxLimits limits;
  limits.wall_seconds = 300;
  limits.cpu_seconds = 60;
  return limits;
}

inline SandboxProgram python(std::string code, const SandboxLimits& limits = patient()) {
  SandboxProgram program;
  program.argv = {"/usr/bin/python3", "-I", "-S", "-B", "program.py"};
  program.files = {{"program.py", std::move(code)}};
  program.limits = limits;
  return program;
}

inline std::vector<SandboxRun> run_all(Sandbox& sandbox, std::vector<SandboxProgram> programs) {
  std::vector<SandboxRun> runs(programs.size());
  std::size_t done = 0;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    sandbox.submit(std::move(programs[i]), [&runs, &done, i](SandboxRun run) {
      runs[i] = std::move(run);
      ++done;
    });
  }
  while (sandbox.advance(std::chrono::milliseconds(1000)) > 0) {
  }
  EXPECT_EQ(done, runs.size());
  return runs;
}

inline SandboxRun run_one(Sandbox& sandbox, SandboxProgram program) {
  std::vector<SandboxProgram> programs;
  programs.push_back(std::move(program));
  return run_all(sandbox, std::move(programs)).front();
}

// One for all tests of the binary; proving that it works takes a few milliseconds each time.
inline Sandbox& the_sandbox() {
  static Result<Sandbox> sandbox = Sandbox::open();
  if (!sandbox) {
    ADD_FAILURE() << sandbox.error().message() << "\n" << sandbox.error().hint;
    std::abort();
  }
  return *sandbox;
}

// For messages of failed expectations.
inline std::string text_of(const SandboxRun& run) {
  return std::string(outcome_name(run.outcome)) + ": " + run.reason + "\nstdout: " + run.out + "\nstderr: " + run.err;
}

}  // namespace precept
