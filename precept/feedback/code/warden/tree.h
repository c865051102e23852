#pragma once
// What the processes of the sandbox use together, read from /proc. Inside warden/ only.

#include <cstdint>

namespace precept::warden {

struct Tree {
  std::uint64_t tasks = 0;        // processes (also dead ones that nobody waited for) and threads, without the warden
  std::uint64_t resident = 0;     // bytes, pages that several processes share counted in each
  std::uint64_t cpu_us = 0;       // of the living, and of the children that they waited for
};
Tree look_at_tree();

// Bytes, shared pages counted once (PSS); slower. A process that hides counts with all that is resident.
std::uint64_t exact_memory();

}  // namespace precept::warden
