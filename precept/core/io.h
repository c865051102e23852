#pragma once
// Files as bytes: bounded reads, UTF-8 checks with a line number, and writes that are whole or absent.

#include <cstddef>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

// Reads a whole regular file. Refuses missing files, folders, and files over `max_bytes`.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = std::size_t{1} << 30);

// Reads a text file and refuses what is not UTF-8, naming the line; a UTF-8 byte-order mark is dropped.
Result<std::string> read_text(const std::string& path, std::size_t max_bytes = std::size_t{256} << 20);

// Writes to a temporary neighbour, syncs, and renames: readers see the old file or the new one.
Status write_file(const std::string& path, std::string_view bytes);

// A file of lines to append to. Where a kill left the last line without its end, it is ended first.
std::ofstream append_lines(const std::string& path);

// Creates a folder and its parents; fine if it exists and can be written.
Status make_folder(const std::string& path);

// Byte offset of the first byte that is not valid UTF-8 (overlong forms, surrogates and code points
// above U+10FFFF are invalid); nullopt when all is valid.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

// The text with U+FFFD for each byte that is not part of valid UTF-8.
std::string valid_utf8(std::string_view text);

// 1-based line of a byte offset.
int line_of(std::string_view text, std::size_t offset);

// Largest prefix of at most `max_bytes` that does not cut a UTF-8 sequence.
std::string_view utf8_prefix(std::string_view text, std::size_t max_bytes);

}  // namespace precept
