#pragma once
// Runs programs that nobody vouches for, many at a time on one thread, each alone in a sandbox of its own.
//
// The walls: bubblewrap's namespaces (user, pid, net, ipc, uts, cgroup: no network, no other processes), a file system of
// read-only /usr (no /etc, so no alternatives either) and an empty /work in memory, no capabilities, and a seccomp filter (sandbox_filter.h). Run as root, the
// program becomes the user "nobody" first. Inside, the first process is ours: the warden (warden/main.cpp), which sets
// rlimits, starts the program, watches its whole tree, and says how it ended. What it says comes from system calls, never
// from a text. When a run ends its whole tree is dead and its files are gone.
//
// What they do not promise: a bug of the kernel is a way out; there is no share of the processor or of disk bandwidth;
// memory is watched every few milliseconds, so that a tree may exceed its limit for a moment (rlimits bound it then).
//
// One thread: the one that calls submit() must live as long as its runs, which end with it (and with the process).

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "precept/core/result.h"

namespace precept {

struct SandboxLimits {
  double wall_seconds = 10;        // from the program's start
  double cpu_seconds = 10;         // of all its processes together
  std::uint64_t memory_bytes = std::uint64_t{512} << 20;  // resident, of all its processes together
  std::uint64_t disk_bytes = std::uint64_t{64} << 20;     // of all files in /work together; also of one file
  std::uint64_t files = 4096;      // files and folders in /work
  std::uint64_t output_bytes = std::uint64_t{4} << 20;    // written to stdout and stderr together
  std::uint64_t keep_bytes = std::uint64_t{64} << 10;     // of each, kept: the last ones
  std::uint64_t processes = 32;    // and threads, at any one time
  std::uint64_t open_files = 128;  // of one process
};

struct SandboxProgram {
  std::vector<std::string> argv;                            // argv[0] is an absolute path
  std::vector<std::pair<std::string, std::string>> files;   // path below /work, its bytes
  std::string standard_input;
  SandboxLimits limits;
};

enum class SandboxOutcome {
  kPassed,      // exit code 0
  kFailed,      // another exit code
  kTimeout,     // wall or CPU time (reason says which)
  kMemory,      // more memory than allowed, or one request for more
  kOutput,      // more output than allowed
  kProcesses,   // one more process or thread than allowed
  kDisk,        // /work is full, or holds too many files
  kSignal,      // killed by a signal of its own doing
  kRefused,     // it made a system call that the sandbox forbids, and was killed for it
  kNotStarted,  // it never ran: its program is missing, or the sandbox could not be built
};
const char* outcome_name(SandboxOutcome outcome);  // "passed", "failed", "timeout", "memory", "output"...

struct SandboxRun {
  SandboxOutcome outcome = SandboxOutcome::kNotStarted;
  int exit_code = 0;        // kPassed, kFailed
  int signal = 0;           // kSignal
  std::string call;         // kRefused: "ptrace"
  std::string reason;       // one line for a person; empty for kPassed
  std::string out, err;     // what it wrote last; any bytes
  std::uint64_t out_bytes = 0, err_bytes = 0;  // how much it wrote
  double wall_seconds = 0;  // of the program, without building and tearing down the sandbox
  double cpu_seconds = 0;
  std::uint64_t peak_memory_bytes = 0;  // of its largest process
};

struct SandboxOptions {
  int parallel = 0;        // programs at the same time; 0: as many as there are processors
  std::string bubblewrap;  // its path; empty: where systems keep it
};

class Sandbox {
 public:
  // Finds bubblewrap and the warden (beside the running program), and proves with one run that a sandbox can be built
  // here. An Error (kFailed) with a hint otherwise: nothing ever runs without its walls.
  static Result<Sandbox> open(const SandboxOptions& options = {});
  ~Sandbox();  // kills what is running; no completion is called any more
  Sandbox(Sandbox&&) noexcept;
  Sandbox& operator=(Sandbox&&) noexcept;

  using Done = std::function<void(SandboxRun)>;
  // Completions run inside advance(), never inside submit(), each exactly once; one may submit further programs.
  void submit(SandboxProgram program, Done done);
  // Starts what there is room for, waits at most `wait` for something to happen, completes what ended. Returns how many
  // programs are waiting or running.
  std::size_t advance(std::chrono::milliseconds wait);

 private:
  struct Impl;
  explicit Sandbox(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
