#include "precept/feedback/code/sandbox_spawn.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "precept/feedback/code/wire.h"

namespace precept {
namespace {

constexpr unsigned kNobody = 65534;  // whom a program started by root becomes
constexpr int kMessages = 2;         // standard error of bubblewrap

// Closes what it holds unless released.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

tl::unexpected<Error> cannot(const char* what) {
  return failed(std::string("a sandbox cannot be started: ") + what + ": " + std::strerror(errno),
                "are there too many open files or processes?");
}

// A copy above the descriptors that the child is given, so that laying those out overwrites nothing.
Fd lifted(int fd) { return Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 16)); }

// The walls. /work is the only place that can be written.
std::vector<std::string> arguments(std::uint64_t disk_bytes) {
  std::vector<std::string> list = {
      "bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup",
      "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--hostname", "sandbox",
      "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
      "--proc", "/proc", "--size", "65536", "--tmpfs", "/dev"};
  for (const char* device : {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}) {
    list.insert(list.end(), {"--dev-bind", device, device});
  }
  list.insert(list.end(), {"--symlink", "/proc/self/fd", "/dev/fd", "--remount-ro", "/dev", "--symlink", "work", "/tmp", "--perms",
                           "0755", "--size", std::to_string(disk_bytes), "--tmpfs", "/work", "--remount-ro", "/", "--chdir", "/work",
                           "/proc/self/fd/" + std::to_string(wire::kWardenFd)});
  return list;
}

struct Start {
  const char* program;
  char* const* argv;
  int nothing, messages, request, reply, warden;  // all of them above those that they become
  bool drop;
};

// Between vfork and exec: only system calls, raw ones where the library's would speak to the parent's other threads.
[[noreturn]] void become_bubblewrap(const Start& start) {
  const std::pair<int, int> layout[] = {{start.nothing, 0},
                                        {start.nothing, 1},
                                        {start.messages, kMessages},
                                        {start.request, wire::kRequestFd},
                                        {start.reply, wire::kReplyFd},
                                        {start.warden, wire::kWardenFd}};
  for (const auto& [from, to] : layout) {
    if (::dup2(from, to) < 0) ::_exit(126);
  }
  if (::syscall(SYS_close_range, wire::kWardenFd + 1, ~0U, 0) != 0) ::_exit(126);
  const std::array<char, 64> no_signals{};
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, no_signals.data(), nullptr, 8);
  if (start.drop && (::syscall(SYS_setgroups, 0, nullptr) != 0 || ::syscall(SYS_setresgid, kNobody, kNobody, kNobody) != 0 ||
                     ::syscall(SYS_setresuid, kNobody, kNobody, kNobody) != 0)) {
    ::_exit(126);
  }
  char* const no_environment[] = {nullptr};
  ::execve(start.program, start.argv, no_environment);
  ::_exit(126);
}

// A function of its own: a caller's variables could be clobbered. Signals wait meanwhile: a handler of ours must not run in
// the child, which still shares our memory. vfork, because a process that holds gigabytes of weights would take long to
// copy even its page tables.
[[gnu::noinline]] pid_t vfork_bubblewrap(const Start& start) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t process = ::vfork();
  if (process == 0) become_bubblewrap(start);
  const int why = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = why;
  return process;
}

Result<Fd> memory_file(const std::string& bytes) {
  Fd file(static_cast<int>(::memfd_create("request", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
  if (file.get() < 0) return cannot("a file in memory");
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t wrote = ::write(file.get(), bytes.data() + at, bytes.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return cannot("a file in memory");
    at += static_cast<std::size_t>(wrote);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  return file;
}

}  // namespace

// In the first namespace every user stands for itself; a namespace of one's own maps fewer.
bool is_system_root() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 1, outside = 1, count = 0;
  map >> inside >> outside >> count;
  return ::geteuid() == 0 && inside == 0 && outside == 0 && count >= kNobody;
}

Result<SpawnedSandbox> spawn_sandbox(const SandboxTools& tools, const std::string& request, std::uint64_t disk_bytes) {
  auto file = memory_file(request);
  if (!file) return tl::unexpected(file.error());
  int reply[2], messages[2];
  if (::pipe2(reply, O_CLOEXEC) != 0) return cannot("a pipe");
  Fd reply_in(reply[0]), reply_out(reply[1]);
  if (::pipe2(messages, O_CLOEXEC) != 0) return cannot("a pipe");
  Fd messages_in(messages[0]), messages_out(messages[1]);
  const Fd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const Fd high[] = {lifted(nothing.get()), lifted(messages_out.get()), lifted(file->get()), lifted(reply_out.get()), lifted(tools.warden)};
  for (const Fd& fd : high) {
    if (fd.get() < 0) return cannot("a descriptor");
  }
  const std::vector<std::string> words = arguments(disk_bytes);
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const Start start{tools.bubblewrap.c_str(), argv.data(),  high[0].get(), high[1].get(), high[2].get(),
                    high[3].get(),            high[4].get(), tools.drop};

  const pid_t process = vfork_bubblewrap(start);
  if (process < 0) return cannot("a process");

  SpawnedSandbox spawned;
  spawned.process = process;
  spawned.pidfd = static_cast<int>(::syscall(SYS_pidfd_open, process, 0));
  if (spawned.pidfd < 0) {
    const int error = errno;
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    errno = error;
    return cannot("a descriptor of the process");
  }
  ::fcntl(reply_in.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(messages_in.get(), F_SETFL, O_NONBLOCK);
  spawned.reply = reply_in.release();
  spawned.messages = messages_in.release();
  return spawned;
}

}  // namespace precept
