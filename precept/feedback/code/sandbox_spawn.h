#pragma once
// Starts bubblewrap with the warden in it. Inside feedback/code only.

#include <string>

#include <sys/types.h>

#include "precept/core/result.h"

namespace precept {

// What every start needs, found once.
struct SandboxTools {
  std::string bubblewrap;  // path
  int warden = -1;         // descriptor of its program, opened for reading
  bool drop = false;       // we are the system's root: become nobody first
};

// Is this process root of the machine (and not only of a user namespace of its own)?
bool is_system_root();

struct SpawnedSandbox {
  pid_t process = -1;  // bubblewrap outside of its walls; when it dies, all inside dies
  int pidfd = -1;
  int reply = -1;     // brings a wire::Reply, then ends
  int messages = -1;  // what bubblewrap itself has to say
};

// `request` is a packed wire::Request; `disk_bytes` the size of /work. kFailed when the process cannot be made.
Result<SpawnedSandbox> spawn_sandbox(const SandboxTools& tools, const std::string& request, std::uint64_t disk_bytes);

}  // namespace precept
