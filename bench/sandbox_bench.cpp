// Programs a second in the sandbox, and where their time goes: bench_sandbox [PROGRAMS, default 500] [PARALLEL, default 0].

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "precept/feedback/code/sandbox.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// False where one of them did not pass: its figure would be of something else.
bool measure(Sandbox& sandbox, const char* name, const std::vector<std::string>& argv, const std::string& file, int programs) {
  int passed = 0;
  double inside = 0, processor = 0;
  const auto begin = Clock::now();
  for (int i = 0; i < programs; ++i) {
    SandboxProgram program;
    program.argv = argv;
    program.files = {{"program.py", file}};
    program.limits.wall_seconds = 300;
    sandbox.submit(std::move(program), [&](SandboxRun run) {
      passed += run.outcome == SandboxOutcome::kPassed;
      inside += run.wall_seconds;
      processor += run.cpu_seconds;
    });
  }
  while (sandbox.advance(std::chrono::milliseconds(1000)) > 0) {
  }
  const double seconds = since(begin);
  std::printf("%-44s %7.1f a second; each %5.1f ms inside, %5.1f ms of processor\n", name, programs / seconds, 1e3 * inside / programs,
              1e3 * processor / programs);
  if (passed != programs) std::printf("%d of %d did not pass\n", programs - passed, programs);
  return passed == programs;
}

int run(int programs, int parallel) {
  auto sandbox = Sandbox::open({.parallel = parallel, .bubblewrap = {}});
  if (!sandbox) {
    std::fprintf(stderr, "%s\n%s\n", sandbox.error().message().c_str(), sandbox.error().hint.c_str());
    return 3;
  }
  const std::string test = "def add(a, b):\n    return a + b\n\n\ndef check(f):\n    assert f(1, 2) == 3\n\n\ncheck(add)\n";
  bool good = measure(*sandbox, "/usr/bin/true (the sandbox alone)", {"/usr/bin/true"}, "", programs);
  good = measure(*sandbox, "python3 -I -S -E -B, empty program", {"/usr/bin/python3", "-I", "-S", "-E", "-B", "program.py"}, "", programs) && good;
  good = measure(*sandbox, "python3 -I -S -E -B, a function and its test", {"/usr/bin/python3", "-I", "-S", "-E", "-B", "program.py"}, test, programs) && good;
  good = measure(*sandbox, "python3 -I -B (with site)", {"/usr/bin/python3", "-I", "-B", "program.py"}, test, programs) && good;
  return good ? 0 : 1;
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) {
  const int programs = argc > 1 ? std::atoi(argv[1]) : 500, parallel = argc > 2 ? std::atoi(argv[2]) : 0;
  return precept::run(programs > 0 ? programs : 1, parallel);
}
