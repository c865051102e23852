#include "precept/feedback/code/warden/start.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace precept::warden {
namespace {

constexpr char kHiddenInput[] = ".standard-input";

bool write_all(int fd, const char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t wrote = write(fd, bytes, size);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes += wrote;
    size -= static_cast<std::size_t>(wrote);
  }
  return true;
}

Trouble write_input(const std::string& path, const std::string& bytes) {
  for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
    if (mkdir(path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST) return {"mkdir " + path.substr(0, at), errno};
  }
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return {"create " + path, errno};
  const bool whole = write_all(fd, bytes.data(), bytes.size());
  const int number = errno;
  close(fd);
  return whole ? Trouble{} : Trouble{"write " + path, number};
}

// --- the child, between fork and exec ---

struct Child {
  const wire::Request& request;
  int input, out, err;  // its standard streams
  int to_warden;        // socket: the listener goes over it, then an errno where exec failed
  char* const* argv;
  char* const* env;
};

void set_limit(int which, std::uint64_t soft, std::uint64_t hard) {
  const rlimit limit{static_cast<rlim_t>(soft), static_cast<rlim_t>(hard)};
  setrlimit(static_cast<__rlimit_resource_t>(which), &limit);
}

// Backstops: the warden itself counts memory, processes and time over the whole tree.
void set_limits(const wire::Request& r) {
  const std::uint64_t seconds = r.cpu_ms / 1000 + 1;
  set_limit(RLIMIT_CPU, seconds, seconds + 1);
  set_limit(RLIMIT_AS, r.address_bytes, r.address_bytes);
  set_limit(RLIMIT_FSIZE, r.disk_bytes, r.disk_bytes);
  set_limit(RLIMIT_NOFILE, r.open_files, r.open_files);
  set_limit(RLIMIT_NPROC, r.processes + 8, r.processes + 8);
  set_limit(RLIMIT_CORE, 1, 1);  // 1 is "none", also where cores go to a pipe (core(5))
  set_limit(RLIMIT_MEMLOCK, 0, 0);
  set_limit(RLIMIT_MSGQUEUE, 0, 0);
  set_limit(RLIMIT_SIGPENDING, 256, 256);
}

int install_filter(const std::string& filter) {
  const auto* code = reinterpret_cast<const sock_filter*>(filter.data());
  const sock_fprog program{static_cast<unsigned short>(filter.size() / sizeof(sock_filter)), const_cast<sock_filter*>(code)};
  return static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

bool send_listener(int socket, int listener) {
  char byte = 'L';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &listener, sizeof(int));
  return sendmsg(socket, &message, 0) == 1;
}

[[noreturn]] void give_up(int socket) {
  const int number = errno;
  write_all(socket, reinterpret_cast<const char*>(&number), sizeof number);
  _exit(127);
}

[[noreturn]] void become_program(const Child& child) {
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
  if (dup2(child.input, 0) < 0 || dup2(child.out, 1) < 0 || dup2(child.err, 2) < 0) give_up(child.to_warden);
  set_limits(child.request);
  const int listener = install_filter(child.request.filter);
  if (listener < 0 || !send_listener(child.to_warden, listener)) give_up(child.to_warden);
  execve(child.argv[0], child.argv, child.env);
  give_up(child.to_warden);
}

// --- the warden's side ---

int receive_listener(int socket) {
  char bytes[sizeof(int)];
  iovec part{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (got >= 1 && header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    int listener = -1;
    std::memcpy(&listener, CMSG_DATA(header), sizeof(int));
    return listener;
  }
  if (got == sizeof bytes) std::memcpy(&errno, bytes, sizeof(int));  // the child's own
  return -1;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> list;
  list.reserve(strings.size() + 1);
  for (const std::string& each : strings) list.push_back(const_cast<char*>(each.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

Trouble lay_out(const wire::Request& request) {
  for (const auto& [path, bytes] : request.inputs) {
    if (Trouble trouble = write_input(path, bytes); !trouble.what.empty()) return trouble;
  }
  return write_input(kHiddenInput, request.standard_input);
}

Trouble start(const wire::Request& request, Started& started) {
  const int input = open(kHiddenInput, O_RDONLY | O_CLOEXEC);
  if (input < 0) return {"open the standard input", errno};
  unlink(kHiddenInput);
  int out[2], err[2], talk[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return {"make pipes", errno};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, talk) != 0) return {"make a socket pair", errno};
  const std::vector<char*> argv = pointers(request.argv), env = pointers(request.env);
  const Child child{request, input, out[1], err[1], talk[1], argv.data(), env.data()};
  started.process = fork();
  if (started.process < 0) return {"fork", errno};
  if (started.process == 0) become_program(child);
  for (const int fd : {input, out[1], err[1], talk[1]}) close(fd);
  started.out = out[0];
  started.err = err[0];
  fcntl(started.out, F_SETFL, O_NONBLOCK);
  fcntl(started.err, F_SETFL, O_NONBLOCK);
  started.asks = receive_listener(talk[0]);
  if (started.asks < 0) return {"load the seccomp filter", errno};
  // The socket closes when exec has succeeded; before that it brings the reason why it has not.
  int number = 0;
  const ssize_t got = read(talk[0], &number, sizeof number);
  close(talk[0]);
  if (got == sizeof number) return {"start " + request.argv[0], number};
  return {};
}

}  // namespace precept::warden
