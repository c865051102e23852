#include "precept/constitution/gzip.h"

#include <memory>

#include <dlfcn.h>
#include <zlib.h>

namespace precept {
namespace {

struct Zlib {
  decltype(&gzopen) open = nullptr;
  decltype(&gzread) read = nullptr;
  decltype(&gzclose_r) close = nullptr;
};

template <class Function>
bool find(void* library, const char* name, Function& out) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  return out != nullptr;
}

Result<Zlib> zlib() {
  void* library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
  Zlib z;
  if (library == nullptr || !find(library, "gzopen", z.open) || !find(library, "gzread", z.read) ||
      !find(library, "gzclose_r", z.close)) {
    return failed("zlib (libz.so.1) cannot be loaded", "install zlib1g, or unpack the file with gunzip");
  }
  return z;
}

}  // namespace

Result<ByteSource> open_gzip(const std::string& path, std::size_t max_bytes) {
  // The plain reader says what is wrong with the path.
  if (const auto readable = open_bytes(path); !readable) return tl::unexpected(readable.error());
  const auto z = zlib();
  if (!z) return tl::unexpected(z.error());
  const auto close = z->close;
  const std::shared_ptr<gzFile_s> file(z->open(path.c_str(), "rb"), [close](gzFile f) {
    if (f != nullptr) close(f);
  });
  if (!file) return failed("cannot open", "check its permissions", path);
  const auto read = z->read;
  std::size_t total = 0;
  return ByteSource([file, read, path, total, max_bytes](char* buffer, std::size_t size) mutable -> Result<std::size_t> {
    const int got = read(file.get(), buffer, static_cast<unsigned>(size));
    if (got < 0) return bad_input("gzip data is damaged or cut short", "fetch the file again", path);
    total += static_cast<std::size_t>(got);
    if (total > max_bytes) {
      return bad_input("unpacks to more than " + std::to_string(max_bytes) + " bytes", "is this the right file?", path);
    }
    return static_cast<std::size_t>(got);
  });
}

}  // namespace precept
