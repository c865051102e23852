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

}  // namespace

WholeFile::WholeFile(const std::string& path) : path_(path), target_(path) {
  if (must_be_written_in_place(path)) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  } else {
    target_ = behind_links(path);
    temporary_ = target_ + ".tmp" + std::to_string(::getpid());
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  if (fd_ < 0) error_ = errno;
}

WholeFile::~WholeFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!done_ && !temporary_.empty()) ::unlink(temporary_.c_str());
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
  if (error_ == 0 && ::close(std::exchange(fd_, -1)) != 0) error_ = errno;
  if (error_ == 0 && renamed && ::rename(temporary_.c_str(), target_.c_str()) != 0) error_ = errno;
  done_ = error_ == 0;
  if (done_) return {};
  return failed(std::string("cannot write: ") + std::strerror(error_), "check free space and permissions", path_);
}

}  // namespace precept
