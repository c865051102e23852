#include "precept/feedback/code/sandbox_filter.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace precept {
namespace {

// No program that solves a task needs one of these; each has been, or opens, a way out of a sandbox.
constexpr const char* kForbidden[] = {
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "migrate_pages", "move_pages",
    // the file system's shape
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick",
    "mount_setattr", "quotactl", "quotactl_fd", "swapon", "swapoff", "open_by_handle_at", "name_to_handle_at", "fanotify_init",
    "fanotify_mark",
    // namespaces; clone with CLONE_NEW... is the warden's
    "unshare", "setns",
    // large doors into the kernel
    "bpf", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "seccomp", "kexec_load",
    "kexec_file_load", "init_module", "finit_module", "delete_module", "lookup_dcookie", "modify_ldt", "iopl", "ioperm", "vm86",
    "vm86old", "uselib", "create_module", "get_kernel_syms", "query_module", "nfsservctl", "memfd_secret",
    // keys
    "add_key", "request_key", "keyctl",
    // who we are
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid", "capset",
    "personality",
    // the machine
    "reboot", "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "stime", "acct",
    "syslog", "vhangup",
};

// Memory that belongs to no process, so that nobody could count it; and what has another way.
constexpr const char* kMissing[] = {"clone3", "memfd_create", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "semget",
                                    "mq_open"};

// First argument: a process. 0 is the caller.
constexpr const char* kOnlyOneself[] = {"prlimit64", "sched_setscheduler", "sched_setparam", "sched_setattr", "sched_setaffinity"};

// A condition on one argument of a system call. libseccomp's own macros for it are C, which clang refuses in C++.
constexpr scmp_arg_cmp argument(unsigned int index, scmp_compare comparison, std::uint64_t value, std::uint64_t second = 0) {
  return {index, comparison, value, second};
}

struct Release {
  void operator()(void* context) const { seccomp_release(context); }
};

class Rules {
 public:
  explicit Rules(scmp_filter_ctx context) : context_(context) {}

  template <class... Conditions>
  void add(std::uint32_t action, const char* name, Conditions... conditions) {
    const int number = seccomp_syscall_resolve_name(name);
    if (number < 0 || failure_ != 0) return;  // negative: not a call of this processor
    failure_ = seccomp_rule_add(context_, action, number, sizeof...(conditions), conditions...);
  }
  int failure() const { return failure_; }

 private:
  scmp_filter_ctx context_;
  int failure_ = 0;
};

tl::unexpected<Error> refused(int code) {
  return failed(std::string("the seccomp filter cannot be built: ") + std::strerror(-code), "is libseccomp 2.5 or newer installed?");
}

}  // namespace

Result<std::string> sandbox_filter(std::uint64_t memory_bytes) {
  const std::unique_ptr<void, Release> context(seccomp_init(SCMP_ACT_ALLOW));
  if (!context) return refused(-ENOMEM);
  if (const int code = seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS); code != 0) return refused(code);
  Rules rules(context.get());
  for (const char* name : kForbidden) rules.add(SCMP_ACT_NOTIFY, name);
  for (const char* name : kMissing) rules.add(SCMP_ACT_ERRNO(ENOSYS), name);
  for (const char* name : kOnlyOneself) rules.add(SCMP_ACT_ERRNO(EPERM), name, argument(0, SCMP_CMP_NE, 0));
  for (const char* name : {"setpriority", "ioprio_set"}) rules.add(SCMP_ACT_ERRNO(EPERM), name, argument(1, SCMP_CMP_NE, 0));
  for (const char* name : {"clone", "fork", "vfork"}) rules.add(SCMP_ACT_NOTIFY, name);
  rules.add(SCMP_ACT_NOTIFY, "socket", argument(0, SCMP_CMP_NE, AF_UNIX));
  // Address space that is only reserved (no PROT_WRITE) costs nothing.
  rules.add(SCMP_ACT_NOTIFY, "mmap", argument(1, SCMP_CMP_GT, memory_bytes), argument(2, SCMP_CMP_MASKED_EQ, PROT_WRITE, PROT_WRITE));
  rules.add(SCMP_ACT_NOTIFY, "mremap", argument(2, SCMP_CMP_GT, memory_bytes));
  if (rules.failure() != 0) return refused(rules.failure());

  const int file = static_cast<int>(memfd_create("filter", MFD_CLOEXEC));
  if (file < 0) return refused(-errno);
  std::string bytes;
  int code = seccomp_export_bpf(context.get(), file);
  if (code == 0) {
    const off_t size = lseek(file, 0, SEEK_END);
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    if (pread(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) code = -errno;
  }
  close(file);
  if (code != 0 || bytes.empty()) return refused(code != 0 ? code : -EIO);
  return bytes;
}

std::string system_call_name(int number) {
  const std::unique_ptr<char, decltype(&free)> name(seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number), &free);
  return name ? std::string(name.get()) : "system call " + std::to_string(number);
}

}  // namespace precept
