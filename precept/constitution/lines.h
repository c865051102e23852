#pragma once
// Text line by line with bounded memory, from a file, a gzip file, or memory.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

// Fills at most `size` bytes and returns how many; 0 at the end; an Error (kFailed) when reading fails.
using ByteSource = std::function<Result<std::size_t>(char* buffer, std::size_t size)>;

// Errors: missing, a folder, not readable.
Result<ByteSource> open_bytes(const std::string& path);
ByteSource memory_bytes(std::string_view text);  // `text` must outlive the source

// Splits into lines at \n; a \r before it is dropped, so is a byte-order mark at the start. Refuses,
// with file and line: UTF-16 and UTF-32, what is not UTF-8, NUL bytes, lines of more than `max_line` bytes.
class LineReader {
 public:
  LineReader(ByteSource source, std::string file, std::size_t max_line = std::size_t{1} << 20);

  // True and `line` set, or false at the end. `line` is valid until the next call.
  Result<bool> next(std::string_view& line);
  int number() const { return number_; }  // of the line last given, from 1

 private:
  Result<bool> fill();
  Status check(std::string_view line) const;

  ByteSource source_;
  std::string file_;
  std::size_t max_line_;
  std::string buffer_;
  std::size_t begin_ = 0, searched_ = 0;
  int number_ = 0;
  bool ended_ = false;
};

// What a text's first bytes say about a wrong encoding ("UTF-16 (little-endian)..."); empty when nothing.
std::string foreign_encoding(std::string_view text);

}  // namespace precept
