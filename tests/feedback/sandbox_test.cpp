// What a sandbox is for a program that means no harm, and what it says of how programs end.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <dirent.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/feedback/sandbox_support.h"

namespace precept {
namespace {

using Outcome = SandboxOutcome;

TEST(Sandbox, RunsAProgramAndKeepsWhatItSays) {
  const SandboxRun run = run_one(the_sandbox(), python("import sys\nprint('out')\nprint('err', file=sys.stderr)\n"));
  EXPECT_EQ(run.outcome, Outcome::kPassed) << text_of(run);
  EXPECT_EQ(run.out, "out\n");
  EXPECT_EQ(run.err, "err\n");
  EXPECT_EQ(run.out_bytes, 4u);
  EXPECT_GT(run.peak_memory_bytes, std::uint64_t{1} << 20);
  EXPECT_GT(run.wall_seconds, 0);
}

TEST(Sandbox, ExitCodesAndSignalsAreToldApart) {
  EXPECT_EQ(run_one(the_sandbox(), python("raise SystemExit(3)")).exit_code, 3);
  const SandboxRun as_if_killed = run_one(the_sandbox(), python("raise SystemExit(137)"));
  EXPECT_EQ(as_if_killed.outcome, Outcome::kFailed) << text_of(as_if_killed);
  EXPECT_EQ(as_if_killed.exit_code, 137);
  const SandboxRun killed = run_one(the_sandbox(), python("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"));
  EXPECT_EQ(killed.outcome, Outcome::kSignal) << text_of(killed);
  EXPECT_EQ(killed.signal, 9);
  const SandboxRun fault = run_one(the_sandbox(), python("import ctypes\nctypes.string_at(0)"));
  EXPECT_EQ(fault.signal, 11) << text_of(fault);
}

TEST(Sandbox, AnErrorOfTheProgramComesWithTheEndOfItsMessage) {
  const SandboxRun run = run_one(the_sandbox(), python("def f():\n  return 1 / 0\nf()\n"));
  EXPECT_EQ(run.outcome, Outcome::kFailed);
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.err.find("ZeroDivisionError"), std::string::npos) << run.err;
}

TEST(Sandbox, StandardInputFilesAndOtherLanguages) {
  SandboxProgram program;
  program.argv = {"/bin/sh", "-c", "cat - folder/deep/file; echo $HOME; pwd"};
  program.files = {{"folder/deep/file", "from a file\n"}};
  program.standard_input = "from the input\n";
  program.limits = patient();
  const SandboxRun run = run_one(the_sandbox(), std::move(program));
  EXPECT_EQ(run.outcome, Outcome::kPassed) << text_of(run);
  EXPECT_EQ(run.out, "from the input\nfrom a file\n/work\n/work\n");
}

TEST(Sandbox, OnlyTheEndOfMuchOutputIsKept) {
  SandboxLimits limits = patient();
  limits.keep_bytes = 1000;
  const SandboxRun run = run_one(the_sandbox(), python("for i in range(300000): print(i)\n", limits));
  EXPECT_EQ(run.outcome, Outcome::kPassed) << text_of(run);
  EXPECT_EQ(run.out.size(), 1000u);
  EXPECT_EQ(run.out_bytes, 1988890u);
  EXPECT_EQ(run.out.substr(run.out.size() - 7), "299999\n");
}

// What people's programs do and a sandbox must let them: threads, subprocesses, asyncio, temporary files, large integers.
TEST(Sandbox, OrdinaryThingsWork) {
  const char* const programs[] = {
      "import threading\nt = [threading.Thread(target=lambda: None) for _ in range(20)]\n[x.start() for x in t]\n[x.join() for x in t]",
      "import subprocess\nassert subprocess.run(['/bin/echo', 'a'], capture_output=True).stdout == b'a\\n'",
      "import asyncio\nasync def f():\n  await asyncio.sleep(0.01)\n  return 5\nassert asyncio.run(f()) == 5",
      "import tempfile\nwith tempfile.TemporaryFile() as f:\n  f.write(b'x' * 1000000)",
      "open('/tmp/a', 'w').write('b'); assert open('/work/a').read() == 'b'",
      "import math\nassert len(str(math.factorial(1000))) == 2568",
      "import random, os\nrandom.random(); os.urandom(10); open('/dev/null', 'w').write('x')",
      "import os, signal\nsignal.alarm(100); os.kill(os.getppid(), 0); signal.alarm(0)",
      "import multiprocessing as m\np = m.Process(target=print, args=('x',))\np.start(); p.join(); assert p.exitcode == 0",
      "x = bytearray(200_000_000)\nfor i in range(0, len(x), 4096): x[i] = 1",
      "import os\nfor i in range(200):\n  p = os.fork()\n  if p == 0: os._exit(0)\n  os.waitpid(p, 0)",
      "import concurrent.futures as f\nwith f.ThreadPoolExecutor(8) as e: assert sum(e.map(abs, range(100))) == 4950",
      "import sys, io\nsys.stdout = io.StringIO()\nprint('x')",
      "import sys\nsys.setrecursionlimit(5000)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nassert f(4000) == 4000",
      "import hashlib, json, re, datetime, decimal, fractions, itertools, collections, functools, heapq, bisect, string, typing",
  };
  std::vector<SandboxProgram> all;
  for (const char* code : programs) all.push_back(python(code));
  const std::vector<SandboxRun> runs = run_all(the_sandbox(), std::move(all));
  for (std::size_t i = 0; i < runs.size(); ++i) EXPECT_EQ(runs[i].outcome, Outcome::kPassed) << programs[i] << "\n" << text_of(runs[i]);
}

TEST(Sandbox, AProgramThatIsMissingIsNotStarted) {
  SandboxProgram program;
  program.argv = {"/usr/bin/no-such-program"};
  const SandboxRun run = run_one(the_sandbox(), std::move(program));
  EXPECT_EQ(run.outcome, Outcome::kNotStarted) << text_of(run);
  EXPECT_NE(run.reason.find("No such file"), std::string::npos) << run.reason;
  SandboxProgram relative;
  relative.argv = {"python3"};
  EXPECT_EQ(run_one(the_sandbox(), std::move(relative)).outcome, Outcome::kNotStarted);
}

TEST(Sandbox, FilesStayBelowTheWorkingFolder) {
  for (const char* path : {"/etc/x", "../x", "a/../../x", "a//b", ".", "", "a/"}) {
    SandboxProgram program;
    program.argv = {"/usr/bin/true"};
    program.files = {{path, "x"}};
    EXPECT_EQ(run_one(the_sandbox(), std::move(program)).outcome, Outcome::kNotStarted) << path;
  }
}

TEST(Sandbox, RunsDoNotShareFiles) {
  run_one(the_sandbox(), python("open('/work/left', 'w').write('secret')"));
  const SandboxRun run = run_one(the_sandbox(), python("import os\nprint(sorted(os.listdir('/work')))"));
  EXPECT_EQ(run.out, "['program.py']\n") << text_of(run);
}

int open_descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

TEST(Sandbox, TwoThousandHonestProgramsPassAndLeaveNothingBehind) {
  Sandbox& sandbox = the_sandbox();
  const int before = open_descriptors();
  std::vector<SandboxProgram> programs;
  for (int i = 0; i < 2000; ++i) programs.push_back(python("print(" + std::to_string(i) + " * 3)\n"));
  const std::vector<SandboxRun> runs = run_all(sandbox, std::move(programs));
  for (std::size_t i = 0; i < runs.size(); ++i) {
    ASSERT_EQ(runs[i].outcome, Outcome::kPassed) << i << " " << text_of(runs[i]);
    ASSERT_EQ(runs[i].out, std::to_string(3 * i) + "\n");
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  EXPECT_EQ(errno, ECHILD);
}

TEST(Sandbox, DestroyingItKillsWhatRuns) {
  auto sandbox = Sandbox::open();
  ASSERT_TRUE(sandbox) << sandbox.error().message();
  bool called = false;
  sandbox->submit(python("import time\ntime.sleep(1000)"), [&](SandboxRun) { called = true; });
  sandbox->advance(std::chrono::milliseconds(100));
  *sandbox = std::move(*Sandbox::open());
  EXPECT_FALSE(called);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
}

TEST(Sandbox, ACompletionMaySubmit) {
  Sandbox& sandbox = the_sandbox();
  int rounds = 0;
  std::function<void(SandboxRun)> again = [&](SandboxRun run) {
    EXPECT_EQ(run.outcome, Outcome::kPassed);
    if (++rounds < 3) sandbox.submit(python("pass"), again);
  };
  sandbox.submit(python("pass"), again);
  while (sandbox.advance(std::chrono::milliseconds(1000)) > 0) {
  }
  EXPECT_EQ(rounds, 3);
}

// --- where no sandbox can be built, nothing runs ---

TEST(Sandbox, WithoutBubblewrapThereIsAnErrorThatSaysWhatToInstall) {
  const auto sandbox = Sandbox::open({.parallel = 1, .bubblewrap = "/no/bwrap"});
  ASSERT_FALSE(sandbox);
  EXPECT_EQ(sandbox.error().kind, ErrorKind::kFailed);
  EXPECT_NE(sandbox.error().what.find("no bubblewrap"), std::string::npos) << sandbox.error().what;
  EXPECT_NE(sandbox.error().hint.find("install the Debian package bubblewrap"), std::string::npos) << sandbox.error().hint;
}

TEST(Sandbox, WhatOnlyPretendsToBeBubblewrapRunsNothing) {
  const auto sandbox = Sandbox::open({.parallel = 1, .bubblewrap = "/usr/bin/env"});
  ASSERT_FALSE(sandbox);
  EXPECT_NE(sandbox.error().what.find("no sandbox can be built here"), std::string::npos) << sandbox.error().what;
}

// A world in which no more user namespaces may be made, as on machines where an administrator turned them off.
TEST(Sandbox, WithoutUserNamespacesThereIsAnErrorThatNamesThem) {
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string said = "skip";
    if (unshare(CLONE_NEWUSER) == 0) {
      std::ofstream("/proc/sys/user/max_user_namespaces") << "0" << std::flush;
      const auto sandbox = Sandbox::open();
      said = sandbox ? "opened" : sandbox.error().message() + " | " + sandbox.error().hint;
    }
    const ssize_t wrote = write(report[1], said.data(), said.size());
    _exit(wrote > 0 ? 0 : 1);
  }
  close(report[1]);
  std::string said(4096, '\0');
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(report[0], said.data(), said.size()))));
  close(report[0]);
  waitpid(child, nullptr, 0);
  if (said == "skip") GTEST_SKIP() << "this system has no user namespaces to begin with";
  EXPECT_NE(said.find("no sandbox can be built here"), std::string::npos) << said;
  EXPECT_NE(said.find("user namespaces"), std::string::npos) << said;
}

// The warden is no way around the walls: by itself it starts nothing.
TEST(Sandbox, TheWardenRefusesToWorkOutside) {
  const std::string warden = std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/precept-warden";
  const int status = std::system((warden + " /usr/bin/true 2>/dev/null").c_str());
  EXPECT_EQ(WEXITSTATUS(status), 2);
}

}  // namespace
}  // namespace precept
