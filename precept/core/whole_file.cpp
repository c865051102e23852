#include "precept/core/whole_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace precept {
namespace {

namespace fs = std::filesystem;

// A rename would put a plain file where a device was, for everybody on the machine.
bool must_be_written_in_place(const std::string& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (!fs::exists(status) || fs::is_directory(status)) return false;
  return !fs::is_regular_file(status) || path.rfind("/dev/", 0) == 0 || path.rfind("/proc/", 0) == 0;
}

// Also where a link points to what is not there yet. Links in a circle end here after some rounds, and fail when opened.
std::string behind_links(const std::string& path) {
  fs::path at = path;
  std::error_code ec;
  for (int links = 0; links < 40 && fs::is_symlink(at, ec); ++links) {
    const fs::path next = fs::read_symlink(at, ec);
    if (ec) break;
    at = next.is_absolute() ? next : at.parent_path() / next;
  }
  return at.string();
}

// A file without a name in the folder of `target`; -1: this file system has none (NFS), or there is no /proc to name it through.
int open_nameless(const std::string& target) {
  if (::access("/proc/self/fd", X_OK) != 0) return -1;
  const std::string folder = fs::path(target).parent_path().string();
  return ::open(folder.empty() ? "." : folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);
}

// Gives it one. True: done.
bool name_it(int fd, const std::string& name) {
  ::unlink(name.c_str());  // of a process that had our id
  return ::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

}  // namespace

WholeFile::WholeFile(const std::string& path) : path_(path), target_(path) {
  if (must_be_written_in_place(path)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  } else {
    target_ = behind_links(path);
    temporary_ = target_ + ".tmp" + std::to_string(::getpid());
    fd_ = open_nameless(target_);
    nameless_ = fd_ >= 0;
    if (!nameless_) fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  if (fd_ < 0) error_ = errno;
}

WholeFile::~WholeFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!done_ && !temporary_.empty() && !nameless_) ::unlink(temporary_.c_str());
}

void WholeFile::write(std::string_view bytes) {
  while (error_ == 0 && !bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      error_ = n < 0 ? errno : EIO;
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

Status WholeFile::finish() {
  const bool renamed = !temporary_.empty();
  if (error_ == 0 && renamed && ::fsync(fd_) != 0) error_ = errno;
  if (error_ == 0 && nameless_) {
    if (name_it(fd_, temporary_)) nameless_ = false;
    else error_ = errno;
  }
  if (error_ == 0 && ::close(std::exchange(fd_, -1)) != 0) error_ = errno;
  if (error_ == 0 && renamed && ::rename(temporary_.c_str(), target_.c_str()) != 0) error_ = errno;
  done_ = error_ == 0;
  if (done_) return {};
  return failed(std::string("cannot write: ") + std::strerror(error_), "check free space and permissions", path_);
}

}  // namespace precept
