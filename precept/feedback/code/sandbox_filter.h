#pragma once
// Which system calls a sandboxed program may not make. Inside feedback/code only.

#include <cstdint>
#include <string>

#include "precept/core/result.h"

namespace precept {

// The seccomp program as bytes (struct sock_filter[]), made by libseccomp. Four answers:
// - allowed: whatever is not named below;
// - "there is no such call" (ENOSYS) for calls that libraries try and have another way for: clone3, memfd_create, System V
//   shared memory and queues (memory that no process owns), and for limits and priorities of other processes;
// - asked of the warden: clone, fork, vfork (which counts, and lets pass), a mapping larger than `memory_bytes`;
// - asked of the warden, which kills: sockets other than AF_UNIX, tracing, mounting, namespaces, keys, BPF, io_uring,
//   changes of identity, modules, clocks, and the like. The list is in sandbox_filter.cpp.
Result<std::string> sandbox_filter(std::uint64_t memory_bytes);

// "ptrace" of its number; "system call 999" of an unknown one.
std::string system_call_name(int number);

}  // namespace precept
