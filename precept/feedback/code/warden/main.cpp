// precept-warden: the first process of a sandbox. bubblewrap starts it behind its walls; it starts one program, watches all
// processes that come of it, kills them at the first limit that is passed, and replies how it ended. It is never asked to
// be obeyed by what it watches: it takes no signals from inside (it is the init of its namespace), cannot be traced or read
// (not dumpable), and holds no descriptor that the program has.

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "precept/feedback/code/warden/start.h"
#include "precept/feedback/code/warden/tree.h"
#include "precept/feedback/code/wire.h"

namespace precept::warden {
namespace {

constexpr std::uint64_t kLookEveryMs = 5;

std::uint64_t now_us() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
}

// One stream of the program: all is counted, the end is kept.
struct Stream {
  int fd = -1;
  std::uint64_t total = 0;
  std::string kept;

  // Reads what is there, but no more than `most` in all: whoever writes fast must not hold us here.
  void take(std::uint64_t keep, std::uint64_t most) {
    char buffer[65536];
    while (fd >= 0 && total <= most) {
      const ssize_t got = read(fd, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return;  // nothing there now
      if (got == 0) {
        close(fd);
        fd = -1;
        return;
      }
      total += static_cast<std::uint64_t>(got);
      kept.append(buffer, static_cast<std::size_t>(got));
      if (kept.size() > 2 * keep + sizeof buffer) kept.erase(0, kept.size() - keep);
      if (static_cast<std::size_t>(got) < sizeof buffer) return;
    }
  }
  std::string end(std::uint64_t keep) const { return kept.size() > keep ? kept.substr(kept.size() - keep) : kept; }
};

class Watch {
 public:
  Watch(const wire::Request& request, const Started& program) : request_(request), program_(program), begin_(now_us()) {
    out_.fd = program.out;
    err_.fd = program.err;
  }

  wire::Reply run(int children) {
    while (!over_) {
      pollfd wait[] = {{program_.asks, POLLIN, 0}, {out_.fd, POLLIN, 0}, {err_.fd, POLLIN, 0}, {children, POLLIN, 0}};
      poll(wait, 4, int{kLookEveryMs});
      if (wait[0].revents & POLLIN) answer();
      if (wait[3].revents & POLLIN) reap(children);
      take_output();
      look();
    }
    const std::uint64_t end = now_us();
    kill(-1, SIGKILL);
    // A program that ends has written all it writes; what daemons of it still write is theirs to lose.
    take_output();
    while (true) {
      int status = 0;
      rusage used{};
      const pid_t dead = wait4(-1, &status, 0, &used);
      if (dead < 0 && errno == EINTR) continue;
      if (dead < 0) break;
      account(used);
    }
    reply_.wall_us = end - begin_;
    reply_.cpu_us = reaped_us_;
    reply_.out_bytes = out_.total;
    reply_.err_bytes = err_.total;
    reply_.out = out_.end(request_.keep_bytes);
    reply_.err = err_.end(request_.keep_bytes);
    return std::move(reply_);
  }

 private:
  void end(wire::Ended ended, std::uint64_t code = 0) {
    if (over_) return;
    over_ = true;
    reply_.ended = ended;
    reply_.code = code;
  }

  void account(const rusage& used) {
    const auto us = [](const timeval& t) { return static_cast<std::uint64_t>(t.tv_sec) * 1000000 + static_cast<std::uint64_t>(t.tv_usec); };
    reaped_us_ += us(used.ru_utime) + us(used.ru_stime);
    reply_.peak_bytes = std::max(reply_.peak_bytes, static_cast<std::uint64_t>(used.ru_maxrss) * 1024);
  }

  void reap(int children) {
    signalfd_siginfo signals[8];
    while (read(children, signals, sizeof signals) > 0) {
    }
    while (true) {
      int status = 0;
      rusage used{};
      const pid_t dead = wait4(-1, &status, WNOHANG, &used);
      if (dead <= 0) return;
      account(used);
      if (dead == program_.process) ended(status);
    }
  }

  void ended(int status) {
    take_output();
    if (over_) return;
    if (WIFSIGNALED(status)) {
      const int number = WTERMSIG(status);
      const bool spent = reaped_us_ >= request_.cpu_ms * 1000;
      if (number == SIGXCPU || (number == SIGKILL && spent)) return end(wire::Ended::kCpuTime);
      if (number == SIGXFSZ) return end(wire::Ended::kDisk);
      return end(wire::Ended::kSignalled, static_cast<std::uint64_t>(number));
    }
    const int code = WEXITSTATUS(status);
    if (code != 0 && disk_is_full()) return end(wire::Ended::kDisk);
    end(wire::Ended::kExited, static_cast<std::uint64_t>(code));
  }

  void take_output() {
    out_.take(request_.keep_bytes, request_.output_bytes);
    err_.take(request_.keep_bytes, request_.output_bytes);
    if (out_.total + err_.total > request_.output_bytes) end(wire::Ended::kOutput);
  }

  bool disk_is_full() const {
    struct statvfs disk {};
    return statvfs(".", &disk) == 0 && disk.f_blocks > 0 && disk.f_bavail == 0;
  }

  void look() {
    const std::uint64_t now = now_us();
    if (over_ || now - looked_ < kLookEveryMs * 1000) return;
    looked_ = now;
    if (now - begin_ > request_.wall_ms * 1000) return end(wire::Ended::kWallTime);
    const Tree tree = look_at_tree();
    tasks_ = tree.tasks;
    admitted_ = 0;
    if (tree.cpu_us + reaped_us_ > request_.cpu_ms * 1000) return end(wire::Ended::kCpuTime);
    if (tree.resident > request_.memory_bytes && exact_memory() > request_.memory_bytes) return end(wire::Ended::kMemory);
    struct statvfs disk {};
    if (statvfs(".", &disk) != 0) return;
    if (disk.f_files - disk.f_ffree > request_.files) return end(wire::Ended::kFiles);
    if (disk.f_blocks > 0 && disk.f_bavail == 0) return end(wire::Ended::kDisk);
  }

  // A system call waits for our word. Its arguments are copies in registers: nobody can change them under us.
  void answer() {
    seccomp_notif ask{};
    if (ioctl(program_.asks, SECCOMP_IOCTL_NOTIF_RECV, &ask) != 0) return;  // it was interrupted meanwhile
    const int call = ask.data.nr;
    bool go_on = false;
    if (call == SYS_clone || call == SYS_fork || call == SYS_vfork) {
      constexpr std::uint64_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                            CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME;
      if (call == SYS_clone && (ask.data.args[0] & (kNamespaces & ~std::uint64_t{CSIGNAL})) != 0) {
        end(wire::Ended::kRefused, static_cast<std::uint64_t>(call));
      } else if (one_more()) {
        go_on = true;
      } else {
        end(wire::Ended::kProcesses);
      }
    } else if (call == SYS_mmap || call == SYS_mremap) {
      end(wire::Ended::kMemory);
    } else {
      end(wire::Ended::kRefused, static_cast<std::uint64_t>(call));
    }
    if (!go_on) kill(-1, SIGKILL);  // before the answer: it never comes back from that call
    seccomp_notif_resp response{};
    response.id = ask.id;
    response.flags = go_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    response.error = go_on ? 0 : -EPERM;
    ioctl(program_.asks, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }

  // May there be one more process or thread? Counted anew only where the last count and what was let pass since reach
  // the limit.
  bool one_more() {
    if (tasks_ + admitted_ + 1 > request_.processes) {
      tasks_ = look_at_tree().tasks;
      admitted_ = 0;
    }
    if (tasks_ + 1 > request_.processes) return false;
    ++admitted_;
    return true;
  }

  const wire::Request& request_;
  const Started& program_;
  Stream out_, err_;
  wire::Reply reply_;
  bool over_ = false;
  std::uint64_t begin_, looked_ = 0, reaped_us_ = 0, tasks_ = 1, admitted_ = 0;
};

bool read_request(wire::Request& request) {
  std::string bytes;
  char buffer[65536];
  while (true) {
    const ssize_t got = read(wire::kRequestFd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    bytes.append(buffer, static_cast<std::size_t>(got));
  }
  close(wire::kRequestFd);
  return wire::unpack(bytes, request) && !request.argv.empty();
}

wire::Reply refuse(const Trouble& trouble) {
  wire::Reply reply;
  reply.what = trouble.what;
  reply.code = static_cast<std::uint64_t>(trouble.number);
  return reply;
}

void send(const wire::Reply& reply) {
  const std::string bytes = wire::pack(reply);
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t wrote = write(wire::kReplyFd, bytes.data() + at, bytes.size() - at);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    at += static_cast<std::size_t>(wrote);
  }
}

int run() {
  if (getpid() != 1) {
    std::fputs("precept-warden: it is no command: precept starts it inside a sandbox\n", stderr);
    return 2;
  }
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NAME, "precept-warden");
  for (const int fd : {wire::kRequestFd, wire::kReplyFd}) fcntl(fd, F_SETFD, FD_CLOEXEC);
  close_range(static_cast<unsigned>(wire::kWardenFd), ~0U, 0);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  const int children = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);

  wire::Request request;
  if (!read_request(request)) {
    send(refuse({"read the request", errno}));
    return 1;
  }
  Started program;
  Trouble trouble = lay_out(request);
  if (trouble.what.empty()) trouble = start(request, program);
  send(trouble.what.empty() ? Watch(request, program).run(children) : refuse(trouble));
  return 0;
}

}  // namespace
}  // namespace precept::warden

int main() { return precept::warden::run(); }
