#include "precept/feedback/code/warden/tree.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace precept::warden {
namespace {

// A small file of /proc, NUL-terminated; false: the process is gone.
bool read_proc(const char* process, const char* name, char* buffer, std::size_t size) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%s/%s", process, name);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t got = read(fd, buffer, size - 1);
  close(fd);
  if (got <= 0) return false;
  buffer[got] = '\0';
  return true;
}

template <class Each>
void each_process(const Each& each) {
  DIR* const folder = opendir("/proc");
  if (folder == nullptr) return;
  while (const dirent* entry = readdir(folder)) {
    const char* const name = entry->d_name;
    if (name[0] < '1' || name[0] > '9' || std::strcmp(name, "1") == 0) continue;
    each(name);
  }
  closedir(folder);
}

// /proc/PID/stat after the name, which may hold anything (the last ")" ends it): state, then fields 4...
struct Stat {
  char state = 'X';
  std::uint64_t cpu_ticks = 0, threads = 0, pages = 0;
};
bool read_stat(const char* process, Stat& stat) {
  char text[1024];
  if (!read_proc(process, "stat", text, sizeof text)) return false;
  const char* const name_end = std::strrchr(text, ')');
  if (name_end == nullptr) return false;
  unsigned long long user, system, child_user, child_system, threads, resident;
  // Fields 3 (state), 14-17 (times), 20 (threads), 24 (resident pages); see proc(5).
  const int read = std::sscanf(name_end + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %llu %llu %*s %*s %llu %*s %*s %*s %llu",
                               &stat.state, &user, &system, &child_user, &child_system, &threads, &resident);
  if (read != 7) return false;
  stat.cpu_ticks = user + system + child_user + child_system;
  stat.threads = threads;
  stat.pages = resident;
  return true;
}

}  // namespace

Tree look_at_tree() {
  static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  static const auto ticks = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  Tree tree;
  each_process([&](const char* name) {
    Stat stat;
    if (!read_stat(name, stat)) return;
    tree.cpu_us += stat.cpu_ticks * 1000000 / ticks;
    tree.tasks += stat.threads > 0 ? stat.threads : 1;
    tree.resident += stat.pages * page;
  });
  return tree;
}

std::uint64_t exact_memory() {
  static const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::uint64_t bytes = 0;
  each_process([&](const char* name) {
    char text[4096];
    if (read_proc(name, "smaps_rollup", text, sizeof text)) {
      const char* const pss = std::strstr(text, "\nPss:");
      if (pss != nullptr) {
        bytes += std::strtoull(pss + 5, nullptr, 10) * 1024;
        return;
      }
    }
    Stat stat;
    if (read_stat(name, stat)) bytes += stat.pages * page;
  });
  return bytes;
}

}  // namespace precept::warden
