#include "precept/constitution/gzip.h"

#include <memory>

#include <zlib.h>

namespace precept {
namespace {

struct Close {
  void operator()(gzFile file) const { gzclose_r(file); }
};

}  // namespace

Result<ByteSource> open_gzip(const std::string& path, std::size_t max_bytes) {
  // The plain reader says what is wrong with the path.
  if (const auto readable = open_bytes(path); !readable) return tl::unexpected(readable.error());
  gzFile opened = gzopen(path.c_str(), "rb");
  if (opened == nullptr) return failed("cannot open", "check its permissions", path);
  const std::shared_ptr<gzFile_s> file(opened, Close{});
  std::size_t total = 0;
  return ByteSource([file, path, total, max_bytes](char* buffer, std::size_t size) mutable -> Result<std::size_t> {
    const int got = gzread(file.get(), buffer, static_cast<unsigned>(size));
    int code = Z_OK;  // a file that ends too early gives what there is, then 0 bytes and Z_BUF_ERROR
    if (got <= 0) gzerror(file.get(), &code);
    if (got < 0 || code != Z_OK) return bad_input("gzip data is damaged or cut short", "fetch the file again", path);
    total += static_cast<std::size_t>(got);
    if (total > max_bytes) {
      return bad_input("unpacks to more than " + std::to_string(max_bytes) + " bytes", "is this the right file?", path);
    }
    return static_cast<std::size_t>(got);
  });
}

}  // namespace precept
