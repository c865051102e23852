#include "precept/feedback/code/sandbox.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <list>
#include <map>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "precept/feedback/code/sandbox_filter.h"
#include "precept/feedback/code/sandbox_spawn.h"
#include "precept/feedback/code/wire.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;

// The warden keeps the time; a sandbox whose warden does not answer for so much longer is killed from outside.
constexpr std::chrono::seconds kWardenGrace{60};
constexpr std::size_t kMaxMessages = 4096;

// Address space of one process: far above what may be resident, because only reserving costs nothing.
std::uint64_t address_space(std::uint64_t memory) { return 4 * memory + (std::uint64_t{4} << 30); }

// "/work/a/../b", "/etc/x" and the like are no places for files.
bool is_plain_path(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.size() > 512 || path.find('\0') != std::string::npos) return false;
  for (std::size_t at = 0; at <= path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

std::uint64_t milliseconds(double seconds) { return static_cast<std::uint64_t>(std::ceil(std::clamp(seconds, 0.001, 1e6) * 1000)); }

wire::Request request_of(SandboxProgram program, std::string filter) {
  const SandboxLimits& limits = program.limits;
  wire::Request request;
  request.wall_ms = milliseconds(limits.wall_seconds);
  request.cpu_ms = milliseconds(limits.cpu_seconds);
  request.memory_bytes = limits.memory_bytes;
  request.address_bytes = address_space(limits.memory_bytes);
  request.disk_bytes = limits.disk_bytes;
  request.output_bytes = limits.output_bytes;
  request.keep_bytes = limits.keep_bytes;
  request.processes = limits.processes;
  request.files = limits.files;
  request.open_files = limits.open_files;
  request.argv = std::move(program.argv);
  request.env = {"PATH=/usr/bin", "HOME=/work", "TMPDIR=/work", "LANG=C.UTF-8"};
  request.inputs = std::move(program.files);
  request.standard_input = std::move(program.standard_input);
  request.filter = std::move(filter);
  return request;
}

std::string seconds_text(double seconds) {
  std::string text = std::to_string(seconds);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

std::string mib_text(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// What the warden said, for people.
SandboxRun run_of(wire::Reply reply, const SandboxLimits& limits) {
  using Outcome = SandboxOutcome;
  SandboxRun run;
  run.out = std::move(reply.out);
  run.err = std::move(reply.err);
  run.out_bytes = reply.out_bytes;
  run.err_bytes = reply.err_bytes;
  run.wall_seconds = static_cast<double>(reply.wall_us) * 1e-6;
  run.cpu_seconds = static_cast<double>(reply.cpu_us) * 1e-6;
  run.peak_memory_bytes = reply.peak_bytes;
  const auto is = [&](Outcome outcome, std::string reason) {
    run.outcome = outcome;
    run.reason = std::move(reason);
  };
  const int code = static_cast<int>(reply.code);
  switch (reply.ended) {
    case wire::Ended::kExited:
      run.exit_code = code;
      is(code == 0 ? Outcome::kPassed : Outcome::kFailed, code == 0 ? "" : "exit code " + std::to_string(code));
      break;
    case wire::Ended::kSignalled:
      if (code == SIGSYS) {  // a call of another kind of processor: the filter's own answer, without the warden
        run.call = "a system call of another architecture";
        is(Outcome::kRefused, "it made " + run.call);
        break;
      }
      run.signal = code;
      is(Outcome::kSignal, std::string("killed by signal ") + std::to_string(code) + " (" + ::strsignal(code) + ")");
      break;
    case wire::Ended::kWallTime: is(Outcome::kTimeout, "longer than " + seconds_text(limits.wall_seconds)); break;
    case wire::Ended::kCpuTime: is(Outcome::kTimeout, "more than " + seconds_text(limits.cpu_seconds) + " of processor time"); break;
    case wire::Ended::kMemory: is(Outcome::kMemory, "more than " + mib_text(limits.memory_bytes) + " of memory"); break;
    case wire::Ended::kOutput: is(Outcome::kOutput, "more than " + std::to_string(limits.output_bytes) + " bytes of output"); break;
    case wire::Ended::kProcesses: is(Outcome::kProcesses, "more than " + std::to_string(limits.processes) + " processes and threads"); break;
    case wire::Ended::kFiles: is(Outcome::kDisk, "more than " + std::to_string(limits.files) + " files"); break;
    case wire::Ended::kDisk: is(Outcome::kDisk, "more than " + mib_text(limits.disk_bytes) + " of files"); break;
    case wire::Ended::kRefused:
      run.call = system_call_name(code);
      is(Outcome::kRefused, "it called " + run.call);
      break;
    case wire::Ended::kSetup: is(Outcome::kNotStarted, reply.what + ": " + std::strerror(code)); break;
  }
  return run;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

const char* outcome_name(SandboxOutcome outcome) {
  switch (outcome) {
    case SandboxOutcome::kPassed: return "passed";
    case SandboxOutcome::kFailed: return "failed";
    case SandboxOutcome::kTimeout: return "timeout";
    case SandboxOutcome::kMemory: return "memory";
    case SandboxOutcome::kOutput: return "output";
    case SandboxOutcome::kProcesses: return "processes";
    case SandboxOutcome::kDisk: return "disk";
    case SandboxOutcome::kSignal: return "signal";
    case SandboxOutcome::kRefused: return "refused";
    case SandboxOutcome::kNotStarted: return "not started";
  }
  return "unknown";
}

struct Sandbox::Impl {
  struct Waiting {
    SandboxProgram program;
    Done done;
  };
  struct Running {
    SpawnedSandbox at;
    SandboxLimits limits;
    Done done;
    Clock::time_point deadline;
    std::string reply, messages;
    bool late = false;
  };

  SandboxTools tools;
  std::size_t parallel = 1;
  std::map<std::uint64_t, std::string> filters;  // by memory limit
  std::deque<Waiting> waiting;
  std::list<Running> running;
  std::vector<std::pair<SandboxRun, Done>> over;  // to be completed in the next advance()

  ~Impl();
  Result<std::string> filter(std::uint64_t memory);
  void start(Waiting job);
  void wait(std::chrono::milliseconds at_most);
  void collect();
  SandboxRun finish(Running& run);
};

Sandbox::Impl::~Impl() {
  for (Running& run : running) {
    ::kill(run.at.process, SIGKILL);
    ::waitpid(run.at.process, nullptr, 0);
    for (const int fd : {run.at.pidfd, run.at.reply, run.at.messages}) ::close(fd);
  }
  if (tools.warden >= 0) ::close(tools.warden);
}

Result<std::string> Sandbox::Impl::filter(std::uint64_t memory) {
  if (const auto found = filters.find(memory); found != filters.end()) return found->second;
  auto made = sandbox_filter(memory);
  if (made) filters[memory] = *made;
  return made;
}

void Sandbox::Impl::start(Waiting job) {
  const auto not_started = [&](std::string why) {
    SandboxRun run;
    run.reason = std::move(why);
    over.emplace_back(std::move(run), std::move(job.done));
  };
  if (job.program.argv.empty() || job.program.argv[0].empty() || job.program.argv[0][0] != '/') {
    return not_started("the program is not given as an absolute path");
  }
  for (const auto& [path, bytes] : job.program.files) {
    if (!is_plain_path(path)) return not_started("a file cannot be named \"" + path + "\"");
  }
  auto code = filter(job.program.limits.memory_bytes);
  if (!code) return not_started(code.error().message());
  Running run;
  run.limits = job.program.limits;
  const std::string request = wire::pack(request_of(std::move(job.program), std::move(*code)));
  auto spawned = spawn_sandbox(tools, request, run.limits.disk_bytes);
  if (!spawned) return not_started(spawned.error().message());
  run.at = *spawned;
  run.done = std::move(job.done);
  run.deadline = Clock::now() + kWardenGrace + std::chrono::milliseconds(milliseconds(run.limits.wall_seconds));
  running.push_back(std::move(run));
}

void Sandbox::Impl::wait(std::chrono::milliseconds at_most) {
  std::vector<pollfd> fds;
  for (const Running& run : running) {
    fds.push_back({run.at.pidfd, POLLIN, 0});
    fds.push_back({run.at.reply, POLLIN, 0});
  }
  if (fds.empty()) return;
  ::poll(fds.data(), fds.size(), static_cast<int>(std::clamp<std::int64_t>(at_most.count(), 0, INT_MAX)));
}

namespace {

// Appends what there is, up to `most`; a pipe at its end is closed and becomes -1.
void drain(int& fd, std::string& into, std::size_t most) {
  char buffer[65536];
  while (fd >= 0) {
    const ssize_t got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return;
    if (got == 0) {
      ::close(fd);
      fd = -1;
      return;
    }
    into.append(buffer, std::min(static_cast<std::size_t>(got), most - std::min(most, into.size())));
  }
}

bool has_exited(pid_t process) {
  siginfo_t info{};
  if (::waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0) return info.si_pid == process;
  return errno == ECHILD;  // whoever ignores SIGCHLD has no children to wait for
}

}  // namespace

void Sandbox::Impl::collect() {
  const auto now = Clock::now();
  for (auto run = running.begin(); run != running.end();) {
    drain(run->at.reply, run->reply, std::size_t{1} << 30);
    drain(run->at.messages, run->messages, kMaxMessages);
    if (!run->late && now > run->deadline) {
      run->late = true;
      ::kill(run->at.process, SIGKILL);
    }
    if (!has_exited(run->at.process)) {
      ++run;
      continue;
    }
    SandboxRun result = finish(*run);
    over.emplace_back(std::move(result), std::move(run->done));
    run = running.erase(run);
  }
}

// bubblewrap is dead, and with it everything inside.
SandboxRun Sandbox::Impl::finish(Running& run) {
  drain(run.at.reply, run.reply, std::size_t{1} << 30);
  drain(run.at.messages, run.messages, kMaxMessages);
  int status = 0;
  ::waitpid(run.at.process, &status, 0);
  for (const int fd : {run.at.pidfd, run.at.reply, run.at.messages}) {
    if (fd >= 0) ::close(fd);
  }
  wire::Reply reply;
  if (wire::unpack(run.reply, reply)) return run_of(std::move(reply), run.limits);
  SandboxRun result;
  if (run.late) {
    result.reason = "the sandbox did not answer and was killed";
  } else if (!run.messages.empty()) {
    result.reason = first_line(run.messages);
  } else if (WIFSIGNALED(status)) {
    result.reason = "bubblewrap was killed by signal " + std::to_string(WTERMSIG(status));
  } else {
    result.reason = "bubblewrap ended with exit code " + std::to_string(WEXITSTATUS(status)) + " and no word";
  }
  return result;
}

Sandbox::Sandbox(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sandbox::Sandbox(Sandbox&&) noexcept = default;
Sandbox& Sandbox::operator=(Sandbox&&) noexcept = default;
Sandbox::~Sandbox() = default;

void Sandbox::submit(SandboxProgram program, Done done) { impl_->waiting.push_back({std::move(program), std::move(done)}); }

std::size_t Sandbox::advance(std::chrono::milliseconds wait) {
  Impl& impl = *impl_;
  const auto start_more = [&] {
    while (!impl.waiting.empty() && impl.running.size() < impl.parallel) {
      Impl::Waiting job = std::move(impl.waiting.front());
      impl.waiting.pop_front();
      impl.start(std::move(job));
    }
  };
  start_more();
  if (impl.over.empty()) impl.wait(wait);
  impl.collect();
  start_more();  // before the completions, which may take their time
  for (auto& [run, done] : std::exchange(impl.over, {})) done(std::move(run));
  return impl.waiting.size() + impl.running.size() + impl.over.size();
}

namespace {

constexpr const char* kWarden = "precept-warden";

Result<std::string> find_warden() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string folder = self.parent_path().string();
  for (const char* place : {"/", "/../lib/precept/", "/../libexec/precept/"}) {
    const std::string path = folder + place + kWarden;
    if (std::filesystem::exists(path, error)) return path;
  }
  return failed(std::string("there is no ") + kWarden + " beside the program", "build again: programs of models run only under it", folder);
}

Result<std::string> find_bubblewrap(const std::string& given) {
  std::vector<std::string> paths = {"/usr/bin/bwrap", "/usr/local/bin/bwrap"};
  if (!given.empty()) paths = {given};
  for (const std::string& path : paths) {
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return failed("there is no bubblewrap (bwrap) on this machine, and programs of models run only inside it",
                "install the Debian package bubblewrap (scripts/install-packages does)");
}

}  // namespace

Result<Sandbox> Sandbox::open(const SandboxOptions& options) {
  auto impl = std::make_unique<Impl>();
  auto bubblewrap = find_bubblewrap(options.bubblewrap);
  if (!bubblewrap) return tl::unexpected(bubblewrap.error());
  auto warden = find_warden();
  if (!warden) return tl::unexpected(warden.error());
  impl->tools.bubblewrap = *bubblewrap;
  impl->tools.drop = is_system_root();
  impl->tools.warden = ::open(warden->c_str(), O_RDONLY | O_CLOEXEC);
  if (impl->tools.warden < 0) return failed(std::string("cannot be opened: ") + std::strerror(errno), "build again", *warden);
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  impl->parallel = options.parallel > 0 ? static_cast<std::size_t>(options.parallel) : cores;
  Sandbox sandbox(std::move(impl));
  std::optional<SandboxRun> proof;
  SandboxProgram nothing;
  nothing.argv = {"/usr/bin/true"};
  sandbox.submit(std::move(nothing), [&](SandboxRun run) { proof = std::move(run); });
  while (sandbox.advance(std::chrono::milliseconds(1000)) > 0) {
  }
  if (!proof || proof->outcome != SandboxOutcome::kPassed) {
    return failed("no sandbox can be built here: " + (proof ? proof->reason : std::string("no answer")),
                  "bubblewrap needs user namespaces (sysctl kernel.unprivileged_userns_clone=1 and user.max_user_namespaces; in a "
                  "container also the right to mount /proc)");
  }
  return sandbox;
}

}  // namespace precept
