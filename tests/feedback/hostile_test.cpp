// Programs that mean harm: each is held, and each is reported as what it did.

#include <csignal>
#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/feedback/sandbox_support.h"

namespace precept {
namespace {

using Outcome = SandboxOutcome;

struct Hostile {
  const char* name;
  const char* code;
  Outcome outcome;
  const char* detail;  // kRefused: the call; kFailed and kPassed: a part of stderr or stdout; kSignal, others: of the reason
};

constexpr const char* kLibc = "import ctypes, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n";

// Programs of which `kLibc` is the beginning start with "libc.".
const Hostile kHostile[] = {
    // processes
    {"fork bomb", "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", Outcome::kProcesses, "32 processes"},
    {"thread bomb", "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
     Outcome::kProcesses, "32 processes"},
    {"a few zombies", "import os\nfor i in range(25):\n  if os.fork() == 0: os._exit(0)\nprint('zombies')", Outcome::kPassed, "zombies"},
    {"zombies without end", "import os\nwhile True:\n  if os.fork() == 0: os._exit(0)", Outcome::kProcesses, "32 processes"},
    {"double-forked daemon", "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n    time.sleep(1000)\n  os._exit(0)\nos.wait()\nprint('left a daemon')",
     Outcome::kPassed, "left a daemon"},
    {"daemon that holds the output open and writes on", "import os\nif os.fork() == 0:\n  os.setsid()\n  while True: os.write(1, b'x')\nraise SystemExit(7)",
     Outcome::kFailed, ""},
    {"busy child of a parent that ends", "import os\nif os.fork() == 0:\n  while True: pass\nraise SystemExit(8)", Outcome::kFailed, ""},
    // time
    {"sleeps for ever and ignores SIGTERM", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1000)",
     Outcome::kTimeout, "longer than"},
    {"blocks every signal and spins", "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass", Outcome::kTimeout, ""},
    {"spins in many processes", "import os\nfor i in range(4): os.fork()\nwhile True: pass", Outcome::kTimeout, ""},
    {"stops itself", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", Outcome::kTimeout, "longer than"},
    {"lets its limits be raised", "import resource\nfor r in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE):\n  try: resource.setrlimit(r, (-1, -1))\n  except (ValueError, OSError) as e: print('kept', e)\n  else: raise SystemExit('raised')",
     Outcome::kPassed, "kept"},
    {"catches SIGXCPU and goes on", "import signal\nsignal.signal(signal.SIGXCPU, lambda *_: None)\nwhile True: pass", Outcome::kTimeout, ""},
    // memory
    {"memory bomb, bit by bit", "x = []\nwhile True: x.append(bytearray(b'x' * 1000000))", Outcome::kMemory, "512 MiB"},
    {"memory bomb, all at once", "x = b'x' * 10**11", Outcome::kMemory, "512 MiB"},
    {"memory bomb, one number", "x = 1 << (10**11)", Outcome::kMemory, "512 MiB"},
    {"memory bomb that catches MemoryError", "x = []\nwhile True:\n  try: x.append(b'y' * 1000000)\n  except MemoryError: pass", Outcome::kMemory, ""},
    {"memory bomb in many processes", "import os, time\nfor i in range(10):\n  if os.fork() == 0:\n    x = os.urandom(100_000_000); time.sleep(1000)\ntime.sleep(1000)",
     Outcome::kMemory, ""},
    {"shared memory bomb", "import mmap\nx = []\nwhile True:\n  m = mmap.mmap(-1, 100_000_000)\n  m.write(b'x' * 100_000_000)\n  x.append(m)", Outcome::kMemory, ""},
    {"memory of no process (memfd)", "import os\nos.memfd_create('x')", Outcome::kFailed, "Function not implemented"},
    {"memory of no process (System V)", "libc.\nif libc.shmget(0, 1 << 30, 0o1600) < 0: sys.exit('shmget: ' + os.strerror(ctypes.get_errno()))", Outcome::kFailed, "shmget: Function not implemented"},
    {"stack without end", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()", Outcome::kMemory, "512 MiB"},
    // output
    {"endless output", "while True: print('spam' * 1000)", Outcome::kOutput, "bytes of output"},
    {"endless output on stderr", "import sys\nwhile True: sys.stderr.write('spam' * 1000)", Outcome::kOutput, ""},
    {"endless output from a child", "import os, time\nif os.fork() == 0:\n  while True: os.write(2, b'x' * 4096)\ntime.sleep(1000)", Outcome::kOutput, ""},
    {"output that is no text", "import os\nos.write(1, bytes(range(256)) * 3)\nos.write(2, b'\\xff\\xfe\\x00' * 5)\nraise SystemExit(4)", Outcome::kFailed, ""},
    {"closes its output and sleeps", "import os, time\nos.close(0); os.close(1); os.close(2)\ntime.sleep(1000)", Outcome::kTimeout, ""},
    {"closes every descriptor", "import os\nos.closerange(0, 4096)\nos._exit(5)", Outcome::kFailed, ""},
    // network
    {"connects over IPv4", "import socket\nsocket.create_connection(('1.1.1.1', 80))", Outcome::kRefused, "socket"},
    {"listens over IPv6", "import socket\nsocket.socket(socket.AF_INET6)", Outcome::kRefused, "socket"},
    {"talks to the kernel over netlink", "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)", Outcome::kRefused, "socket"},
    {"raw packets", "import socket\nsocket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)", Outcome::kRefused, "socket"},
    {"a socket of the system's services", "import socket\nsocket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')", Outcome::kFailed, "FileNotFoundError"},
    {"an abstract socket", "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0/tmp/.X11-unix/X0')", Outcome::kFailed, "ConnectionRefusedError"},
    // files
    {"reads the home folder", "import os\nprint(os.listdir('/root'), os.listdir('/home'))", Outcome::kFailed, "FileNotFoundError"},
    {"reads /etc/passwd", "print(open('/etc/passwd').read())", Outcome::kFailed, "FileNotFoundError"},
    {"reads the folder of the caller", "print(open('@CANARY@').read())", Outcome::kFailed, "FileNotFoundError"},
    {"writes where the caller can", "open('@CANARY@', 'w').write('broken')", Outcome::kFailed, "FileNotFoundError"},
    {"writes outside of its folder", "open('/usr/lib/x', 'w')", Outcome::kFailed, "Read-only file system"},
    {"writes to the root", "open('/x', 'w')", Outcome::kFailed, "Read-only file system"},
    {"writes to /dev", "open('/dev/x', 'w')", Outcome::kFailed, "Read-only file system"},
    {"a symlink out", "import os\nos.symlink('/../../../../etc/passwd', 'a')\nprint(open('a').read())", Outcome::kFailed, "FileNotFoundError"},
    {"a symlink to another process's root", "import os\nos.symlink('/proc/1/root/etc/passwd', 'a')\nprint(open('a').read())", Outcome::kFailed, "PermissionError"},
    {"a hard link to a program that is setuid", "import os\nos.link('/usr/bin/passwd', 'p')", Outcome::kFailed, "Error"},
    {"changes a system program", "import os\nos.chmod('/usr/bin/python3.11', 0o777)", Outcome::kFailed, "Read-only file system"},
    {"a huge file", "f = open('huge', 'wb')\nwhile True: f.write(b'x' * 1000000)", Outcome::kDisk, "64 MiB"},
    {"many large files", "i = 0\nwhile True:\n  open(str(i), 'wb').write(b'x' * 1000000)\n  i += 1", Outcome::kDisk, ""},
    {"a huge sparse file", "f = open('sparse', 'wb')\nf.truncate(10**12)", Outcome::kFailed, "File too large"},
    {"a folder without end", "import os\nwhile True:\n  os.mkdir('d')\n  os.chdir('d')", Outcome::kDisk, "4096 files"},
    {"files without end", "i = 0\nwhile True:\n  open(str(i), 'w').close()\n  i += 1", Outcome::kDisk, "4096 files"},
    {"descriptors without end", "f = []\nwhile True: f.append(open('/dev/null'))", Outcome::kFailed, "Too many open files"},
    // the kernel
    {"traces its parent", "libc.\nlibc.ptrace(16, 1, 0, 0)", Outcome::kRefused, "ptrace"},
    {"asks to be traced", "libc.\nlibc.ptrace(0, 0, 0, 0)", Outcome::kRefused, "ptrace"},
    {"reads its parent's memory", "libc.\nlibc.process_vm_readv(1, 0, 0, 0, 0, 0)", Outcome::kRefused, "process_vm_readv"},
    {"mounts", "libc.\nlibc.mount(b'none', b'/work', b'tmpfs', 0, 0)", Outcome::kRefused, "mount"},
    {"unmounts", "libc.\nlibc.umount2(b'/work', 2)", Outcome::kRefused, "umount2"},
    {"makes a namespace of its own", "libc.\nlibc.unshare(0x10000000)", Outcome::kRefused, "unshare"},
    {"makes a process in a namespace of its own", "libc.\nlibc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)", Outcome::kRefused, "clone"},
    {"the same by clone3", "libc.\na = ctypes.create_string_buffer(88)\na[0:4] = (0x10000000).to_bytes(4, 'little')\nif libc.syscall(435, a, 88) < 0: sys.exit(os.strerror(ctypes.get_errno()))",
     Outcome::kFailed, "Function not implemented"},
    {"enters another namespace", "libc.\nlibc.setns(0, 0)", Outcome::kRefused, "setns"},
    {"becomes root", "import os\nos.setuid(0)", Outcome::kRefused, "setuid"},
    {"runs a program that is setuid", "import os\nos.execv('/usr/bin/su', ['su', '-c', 'id'])", Outcome::kFailed, ""},
    {"loads BPF", "libc.\nlibc.syscall(321, 5, 0, 0)", Outcome::kRefused, "bpf"},
    {"io_uring", "libc.\nlibc.syscall(425, 8, 0)", Outcome::kRefused, "io_uring_setup"},
    {"keyrings", "libc.\nlibc.syscall(250, 0, -3, 0)", Outcome::kRefused, "keyctl"},
    {"performance counters", "libc.\nlibc.syscall(298, 0, 0, -1, -1, 0)", Outcome::kRefused, "perf_event_open"},
    {"userfaultfd", "libc.\nlibc.syscall(323, 0)", Outcome::kRefused, "userfaultfd"},
    {"kernel modules", "libc.\nlibc.syscall(175, 0, 0, 0)", Outcome::kRefused, "init_module"},
    {"reboots", "libc.\nlibc.syscall(169, 0, 0, 0, 0)", Outcome::kRefused, "reboot"},
    {"file handles", "libc.\nlibc.syscall(304, 0, 0, 0)", Outcome::kRefused, "open_by_handle_at"},
    {"a filter of its own", "libc.\nlibc.syscall(317, 1, 0, 0)", Outcome::kRefused, "seccomp"},
    {"the calls of another architecture", "libc.\nimport mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3')\nctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()",
     Outcome::kRefused, "another architecture"},
    {"types into the terminal", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')", Outcome::kFailed, "Error"},
    // /proc and the warden
    {"SIGKILL to its parent", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(1, signal.SIGSTOP)\nprint('still here')", Outcome::kPassed, "still here"},
    {"every signal to everybody", "import os, signal\nfor s in range(1, 65):\n  try: os.kill(1, s)\n  except OSError: pass\ntry: os.kill(-1, signal.SIGKILL)\nexcept OSError: pass\nprint('still here')", Outcome::kPassed, "still here"},
    {"reads the warden's memory", "open('/proc/1/mem', 'rb')", Outcome::kFailed, "PermissionError"},
    {"reads the warden's descriptors", "import os\nprint(os.listdir('/proc/1/fd'))", Outcome::kFailed, "PermissionError"},
    {"the warden's limits", "import resource\nresource.prlimit(1, resource.RLIMIT_CPU, (1, 1))", Outcome::kFailed, "PermissionError"},
    {"sets the kernel's switches", "open('/proc/sys/kernel/hostname', 'w').write('x')", Outcome::kFailed, "Error"},
    {"the magic key", "open('/proc/sysrq-trigger', 'w').write('b')", Outcome::kFailed, "Error"},
    {"hides from /proc", "libc.\nlibc.prctl(4, 0)\nx = []\nwhile True: x.append(os.urandom(1000000))", Outcome::kMemory, ""},
    {"dies of itself", "import os\nos.abort()", Outcome::kSignal, "Aborted"},
    {"pretends to be killed for time", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", Outcome::kSignal, "Killed"},
    {"descriptors that it did not get", "import os\nprint(sorted(int(f) for f in os.listdir('/proc/self/fd'))[3:])\nos.write(4, b'forged')", Outcome::kFailed, "Bad file descriptor"},
};

class HostileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    canary_ = std::filesystem::path("/var/tmp") / ("precept-canary-" + std::to_string(getpid()));
    std::ofstream(canary_) << "whole";
    std::filesystem::permissions(canary_, std::filesystem::perms::all);
  }
  void TearDown() override { std::filesystem::remove(canary_); }

  std::string code_of(const Hostile& hostile) const {
    std::string code = hostile.code;
    if (code.rfind("libc.\n", 0) == 0) code = kLibc + code.substr(6);
    for (std::size_t at; (at = code.find("@CANARY@")) != std::string::npos;) code.replace(at, 8, canary_.string());
    return code;
  }

  std::filesystem::path canary_;
};

void expect_reported(const Hostile& hostile, const SandboxRun& run) {
  EXPECT_EQ(outcome_name(run.outcome), std::string(outcome_name(hostile.outcome))) << hostile.name << "\n" << text_of(run);
  const std::string said = run.outcome == Outcome::kFailed || run.outcome == Outcome::kPassed ? run.out + run.err
                           : run.outcome == Outcome::kRefused                                 ? run.call
                                                                                              : run.reason;
  EXPECT_NE(said.find(hostile.detail), std::string::npos) << hostile.name << "\n" << text_of(run);
}

// One after the other takes the times of those that sleep; so eight at a time.
TEST_F(HostileTest, EachIsHeldAndReportedAsWhatItDid) {
  auto sandbox = Sandbox::open({.parallel = 8, .bubblewrap = {}});
  ASSERT_TRUE(sandbox) << sandbox.error().message();
  std::vector<SandboxProgram> programs;
  for (const Hostile& hostile : kHostile) {
    SandboxLimits limits = patient();
    if (hostile.outcome == Outcome::kTimeout) {
      limits.wall_seconds = 2;
      limits.cpu_seconds = 1;
    }
    programs.push_back(python(code_of(hostile), limits));
  }
  ASSERT_GE(programs.size(), 40u);
  const std::vector<SandboxRun> runs = run_all(*sandbox, std::move(programs));
  for (std::size_t i = 0; i < runs.size(); ++i) expect_reported(kHostile[i], runs[i]);

  std::ifstream in(canary_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "whole");
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  EXPECT_EQ(errno, ECHILD);
}

// Processor time is that of the whole tree: a parent that sleeps while its children spin has spent it too.
TEST_F(HostileTest, ProcessorTimeOfChildrenCounts) {
  SandboxLimits limits = patient();
  limits.cpu_seconds = 1;
  const SandboxRun run = run_one(the_sandbox(), python("import os, time\nfor i in range(3):\n  if os.fork() == 0:\n    while True: pass\ntime.sleep(1000)", limits));
  EXPECT_EQ(run.outcome, Outcome::kTimeout) << text_of(run);
  EXPECT_NE(run.reason.find("processor time"), std::string::npos) << run.reason;
  EXPECT_LT(run.cpu_seconds, 2) << "none of them reaches the second that a process is allowed by itself";
}

// Nobody outlives a run: not daemons, not sleepers. The marker is in their command lines, which we can see from outside.
TEST_F(HostileTest, NothingOutlivesARun) {
  const std::string marker = "precept-marker-" + std::to_string(getpid());
  run_one(the_sandbox(), python("import os\nfor i in range(5):\n  if os.fork() == 0:\n    os.setsid()\n    os.execv('/usr/bin/python3', "
                                "['python3', '-c', 'import time; time.sleep(1000)', '" + marker + "'])\nimport time\ntime.sleep(0.3)"));
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "cmdline", std::ios::binary);
    const std::string line((std::istreambuf_iterator<char>(in)), {});
    EXPECT_EQ(line.find(marker), std::string::npos) << entry.path();
  }
}

// A caller that dies takes its runs with it.
TEST_F(HostileTest, NothingOutlivesTheCaller) {
  const std::string marker = "precept-orphan-" + std::to_string(getpid());
  const auto running = [&] {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      std::ifstream in(entry.path() / "cmdline", std::ios::binary);
      if (std::string((std::istreambuf_iterator<char>(in)), {}).find(marker) != std::string::npos) return true;
    }
    return false;
  };
  const auto wait_until = [&](bool there) {
    for (int i = 0; i < 3000 && running() != there; ++i) usleep(10000);
    return running() == there;
  };
  const pid_t caller = fork();
  if (caller == 0) {
    auto sandbox = Sandbox::open();
    if (!sandbox) _exit(1);
    SandboxProgram program;
    program.argv = {"/usr/bin/python3", "-c", "import time; time.sleep(1000)", marker};
    program.limits = patient();
    sandbox->submit(std::move(program), [](SandboxRun) {});
    while (true) sandbox->advance(std::chrono::milliseconds(1000));
  }
  EXPECT_TRUE(wait_until(true));
  kill(caller, SIGKILL);
  waitpid(caller, nullptr, 0);
  EXPECT_TRUE(wait_until(false)) << "a program outlived its caller";
}

}  // namespace
}  // namespace precept
