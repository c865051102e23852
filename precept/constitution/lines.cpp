#include "precept/constitution/lines.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "precept/core/io.h"

namespace precept {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 16;

std::string hex_byte(char byte) {
  char hex[3];
  std::snprintf(hex, sizeof hex, "%02X", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  return hex;
}

}  // namespace

Result<ByteSource> open_bytes(const std::string& path) {
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  if (status.type() == std::filesystem::file_type::not_found) {
    return bad_input("no such file", "check the path", path);
  }
  if (std::filesystem::is_directory(status)) return bad_input("is a folder, not a file", "name the file", path);
  const std::shared_ptr<std::FILE> file(std::fopen(path.c_str(), "rb"), [](std::FILE* f) {
    if (f != nullptr) std::fclose(f);
  });
  if (!file) return bad_input(std::string("cannot open: ") + std::strerror(errno), "check its permissions", path);
  return ByteSource([file, path](char* buffer, std::size_t size) -> Result<std::size_t> {
    const std::size_t got = std::fread(buffer, 1, size, file.get());
    if (got == 0 && std::ferror(file.get()) != 0) return failed("reading failed", "check the disk", path);
    return got;
  });
}

ByteSource memory_bytes(std::string_view text) {
  return [text](char* buffer, std::size_t size) mutable -> Result<std::size_t> {
    const std::size_t n = std::min(size, text.size());
    std::copy_n(text.data(), n, buffer);
    text.remove_prefix(n);
    return n;
  };
}

std::string foreign_encoding(std::string_view text) {
  const auto starts = [&](std::string_view mark) { return text.substr(0, mark.size()) == mark; };
  if (starts(std::string_view("\xFF\xFE\0\0", 4))) return "UTF-32 (little-endian byte-order mark)";
  if (starts(std::string_view("\0\0\xFE\xFF", 4))) return "UTF-32 (big-endian byte-order mark)";
  if (starts("\xFF\xFE")) return "UTF-16 (little-endian byte-order mark)";
  if (starts("\xFE\xFF")) return "UTF-16 (big-endian byte-order mark)";
  if (starts("\x1F\x8B")) return "compressed (gzip)";
  return {};
}

LineReader::LineReader(ByteSource source, std::string file, std::size_t max_line)
    : source_(std::move(source)), file_(std::move(file)), max_line_(max_line) {}

Result<bool> LineReader::fill() {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    searched_ -= begin_;
    begin_ = 0;
  }
  const std::size_t old = buffer_.size();
  buffer_.resize(old + kChunk);
  const auto got = source_(buffer_.data() + old, kChunk);
  buffer_.resize(old + (got ? *got : 0));
  if (!got) return tl::unexpected(got.error());
  if (*got == 0) ended_ = true;
  return *got > 0;
}

Status LineReader::check(std::string_view line) const {
  if (line.find('\0') != std::string_view::npos) {
    return bad_input("NUL byte in the text", "this looks like a binary file; expected UTF-8 text", file_, number_);
  }
  if (const auto bad = find_invalid_utf8(line)) {
    return bad_input("not UTF-8 (byte 0x" + hex_byte(line[*bad]) + ")",
                     "save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8", file_, number_);
  }
  return {};
}

Result<bool> LineReader::next(std::string_view& line) {
  std::size_t end = std::string::npos;
  while (true) {
    end = buffer_.find('\n', searched_);
    if (end != std::string::npos || ended_) break;
    searched_ = buffer_.size();
    if (buffer_.size() - begin_ > max_line_) break;
    if (auto more = fill(); !more) return more;
  }
  if (number_ == 0) {
    const std::string foreign = foreign_encoding(std::string_view(buffer_).substr(begin_));
    if (!foreign.empty()) {
      return bad_input("not UTF-8 but " + foreign,
                       foreign[0] == 'c' ? "unpack it first" : "save the file as UTF-8, e.g. with iconv", file_, 1);
    }
    if (buffer_.compare(begin_, 3, "\xEF\xBB\xBF") == 0) begin_ += 3;
  }
  const bool last = end == std::string::npos;
  if (last) end = buffer_.size();
  if (last && ended_ && begin_ >= end) return false;
  ++number_;
  if (end - begin_ > max_line_) {
    return bad_input("line is longer than " + std::to_string(max_line_) + " bytes",
                     "one JSON object a line; is this the right file?", file_, number_);
  }
  line = std::string_view(buffer_).substr(begin_, end - begin_);
  begin_ = std::min(end + 1, buffer_.size());
  searched_ = begin_;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  if (auto ok = check(line); !ok) return tl::unexpected(ok.error());
  return true;
}

}  // namespace precept
