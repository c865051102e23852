#pragma once
// A regular file mapped into memory, read only.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

class MappedFile {
 public:
  // Refuses what is missing, no regular file, or shorter than `least` bytes (at least 1); `format` names it in errors:
  // "safetensors". A file that shrinks while it is mapped ends the program when it is read: do not write in place.
  static Result<std::unique_ptr<const MappedFile>> open(const std::string& path, std::size_t least,
                                                        const std::string& format);
  MappedFile(const char* data, std::size_t size) : data_(data), size_(size) {}
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  std::string_view bytes() const { return {data_, size_}; }

 private:
  const char* data_;
  std::size_t size_;
};

// Gives back the memory of the pages that lie wholly in these bytes of a mapped file. Who reads them again has them mapped
// again: a pass over a large checkpoint need not hold all of it.
void give_back(std::string_view bytes);

}  // namespace precept
