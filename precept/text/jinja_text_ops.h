#pragma once
// What Python's str does, on text with marks. Everything stays within the limits of `run`; after a failure the
// result means nothing.

#include <optional>
#include <vector>

#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

enum class Case { kUpper, kLower, kTitle, kCapitalize, kSwap };
Text with_case(Runtime& run, const Text& text, Case to);
Text title_words(Runtime& run, const Text& text);  // the filter `title`, which splits words otherwise than str.title

// A replacement counts as input where what it replaces came from input. A negative `count`: all.
Text replaced(Runtime& run, const Text& text, const std::string& old, const Text& with, std::int64_t count);
std::vector<Value> split(Runtime& run, const Text& text, const std::string* separator, std::int64_t most);
std::vector<Value> split_from_right(Runtime& run, const Text& text, const std::string* separator, std::int64_t most);
std::vector<Value> split_lines(Runtime& run, const Text& text, bool keep_ends);
Text joined(Runtime& run, const Text& separator, const std::vector<Value>& items);
Text escaped(Runtime& run, const Text& text);  // for HTML
Text indented(Runtime& run, const Text& text, const Text& indent, bool first, bool blank);
Text padded(Runtime& run, const Text& text, std::int64_t width, const Text& fill, char side);  // side: 'l', 'r', 'c' gets the text

// Byte offset of the first (last) `needle` at or after `from`; npos.
std::size_t find_text(Runtime& run, std::string_view hay, std::string_view needle, std::size_t from = 0);
std::size_t find_last_text(Runtime& run, std::string_view hay, std::string_view needle);

// str.format: {}, {0} and {name}, without attributes and formats.
Text brace_format(Runtime& run, const Text& format, const Args& args);

}  // namespace precept::jinja
