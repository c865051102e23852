#include "precept/core/io.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <unistd.h>

#include "precept/core/whole_file.h"

namespace precept {
namespace fs = std::filesystem;

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (status.type() == fs::file_type::not_found) {
    return bad_input("no such file", "check the path", path);
  }
  if (fs::is_directory(status)) return bad_input("is a folder, not a file", "name the file", path);
  std::ifstream in(path, std::ios::binary);
  if (!in) return bad_input(std::string("cannot open: ") + std::strerror(errno), "check its permissions", path);
  std::string bytes;
  std::string chunk(std::size_t{1} << 16, '\0');
  while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || in.gcount() > 0) {
    bytes.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
    if (bytes.size() > max_bytes) {
      return bad_input("file is larger than " + std::to_string(max_bytes) + " bytes",
                       "is this the right file?", path);
    }
  }
  if (in.bad()) return failed("reading failed", "check the disk", path);
  return bytes;
}

Result<std::string> read_text(const std::string& path, std::size_t max_bytes) {
  auto bytes = read_file(path, max_bytes);
  if (!bytes) return bytes;
  if (bytes->rfind("\xEF\xBB\xBF", 0) == 0) bytes->erase(0, 3);
  if (const auto bad = find_invalid_utf8(*bytes)) {
    return bad_input("not UTF-8 (byte 0x" +
                         [&] {
                           char hex[3];
                           std::snprintf(hex, sizeof hex, "%02X", static_cast<unsigned char>((*bytes)[*bad]));
                           return std::string(hex);
                         }() + ")",
                     "save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8", path,
                     line_of(*bytes, *bad));
  }
  return bytes;
}

Status write_file(const std::string& path, std::string_view bytes) {
  WholeFile file(path);
  file.write(bytes);
  return file.finish();
}

std::ofstream append_lines(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  const bool any = in && in.tellg() > 0;
  if (any) in.seekg(-1, std::ios::end);
  const bool cut = any && in.get() != '\n';
  std::ofstream out(path, std::ios::binary | std::ios::app);
  if (cut) out << '\n' << std::flush;
  return out;
}

Status make_folder(const std::string& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) {
    return failed("cannot create folder: " + ec.message(), "does a file stand in its way, or may its parent not be written?", path);
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) {
    return failed(std::string("the folder cannot be written: ") + std::strerror(errno), "check its permissions", path);
  }
  return {};
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
  std::size_t i = 0;
  const auto at = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
  while (i < text.size()) {
    const unsigned char lead = at(i);
    std::size_t length = 0;
    if (lead < 0x80) {
      ++i;
      continue;
    }
    if (lead >= 0xC2 && lead <= 0xDF) length = 2;
    else if (lead >= 0xE0 && lead <= 0xEF) length = 3;
    else if (lead >= 0xF0 && lead <= 0xF4) length = 4;
    else return i;
    if (i + length > text.size()) return i;
    for (std::size_t k = 1; k < length; ++k) {
      if ((at(i + k) & 0xC0) != 0x80) return i;
    }
    const unsigned char second = at(i + 1);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) {
      return i;
    }
    i += length;
  }
  return std::nullopt;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  while (const auto bad = find_invalid_utf8(text)) {
    valid.append(text.substr(0, *bad)).append("\xEF\xBF\xBD");
    text.remove_prefix(*bad + 1);
  }
  return valid.append(text);
}

int line_of(std::string_view text, std::size_t offset) {
  offset = std::min(offset, text.size());
  return 1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

}  // namespace precept
