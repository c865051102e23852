#pragma once
// Keeps away from toml++ (3.3) what it does not survive. On some malformed texts, and on one kind of
// well-formed one, it runs into __builtin_unreachable or a failing assert instead of an error:
//
//   - where it looks for white space, it is undefined for most code points of U+00A1..U+0499,
//     U+2C5E..U+3057 and U+FB26..U+FEFE. It looks for white space outside of strings and comments, and
//     in a multi-line basic string behind a backslash and at the beginning of a continued line;
//   - it asserts that a key follows "[", a value follows "[" or ",", digits follow the T of a date, and
//     no second value a date.
//
// So the structure is checked here first (tables, keys, the form of values, where strings and
// comments end), and toml++ is left with what it reports properly: escapes, ranges, keys given twice.

#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

// The text to give to toml::parse: the same lines and, to a TOML parser, the same meaning. It differs
// only where a continued line begins with a character outside of ASCII, which becomes its \u escape.
// An error has its line and no file. Refused besides malformed text: brackets nested more than 64 deep,
// keys of more than 17 parts, more than 60,000 headers and dots of keys (toml++ takes quadratic time
// over them), unquoted values of more than 64 bytes, numbers to another base than ten, and dates with a
// space instead of a T.
//
// `text` is valid UTF-8 without byte-order mark and NUL. Linear time; stack bounded by the nesting.
Result<std::string> guard_toml(std::string_view text);

}  // namespace precept
