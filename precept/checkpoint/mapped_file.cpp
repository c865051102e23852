#include "precept/checkpoint/mapped_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace precept {

MappedFile::~MappedFile() { ::munmap(const_cast<char*>(data_), size_); }

Result<std::unique_ptr<const MappedFile>> MappedFile::open(const std::string& path, std::size_t least,
                                                           const std::string& format) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    return errno == ENOENT ? bad_input("no such file", "check the path", path)
                           : bad_input(std::string("cannot open: ") + std::strerror(errno), "check its permissions", path);
  }
  struct stat status {};
  const bool regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = static_cast<std::size_t>(status.st_size);
  const bool long_enough = regular && size >= least;
  void* data = long_enough ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  const int error = errno;
  ::close(fd);
  if (!regular) return bad_input("is not a regular file", "name the " + format + " file", path);
  if (!long_enough) {
    return bad_input("too short for a " + format + " file", "the file is damaged or cut short: get it again", path);
  }
  if (data == MAP_FAILED) return failed(std::string("cannot map: ") + std::strerror(error), "check free memory", path);
  return std::make_unique<const MappedFile>(static_cast<const char*>(data), size);
}

void give_back(std::string_view bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = (page - reinterpret_cast<std::uintptr_t>(bytes.data()) % page) % page;  // of the first whole page
  if (bytes.size() < begin + page) return;
  ::madvise(const_cast<char*>(bytes.data()) + begin, (bytes.size() - begin) / page * page, MADV_DONTNEED);
}

}  // namespace precept
