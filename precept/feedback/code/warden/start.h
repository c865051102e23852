#pragma once
// Lays the program's files out and starts it. Inside warden/ only: no exceptions, no allocation after fork.

#include <string>

#include <sys/types.h>

#include "precept/feedback/code/wire.h"

namespace precept::warden {

// The started program, as the warden sees it.
struct Started {
  pid_t process = -1;
  int out = -1, err = -1;  // reading ends of its output, not blocking
  int asks = -1;           // seccomp's listener: system calls that wait for an answer
};

// What went wrong on the way, with errno; `what` empty: nothing.
struct Trouble {
  std::string what;
  int number = 0;
};

// Writes the inputs below the current folder.
Trouble lay_out(const wire::Request& request);

// Forks; the child becomes the program under its filter and limits. Trouble: nothing runs.
Trouble start(const wire::Request& request, Started& started);

}  // namespace precept::warden
