#include "precept/constitution/toml_guard.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <optional>

#include "precept/core/strict_json.h"

namespace precept {
namespace {

constexpr int kMaxBrackets = 64, kMaxDots = 16;
// Headers and dots of keys: toml++ looks for each in a list of the tables before.
constexpr int kMaxTables = 60000;
constexpr std::size_t kMaxBareValue = 64;  // toml++ looks ahead at most 127 characters

bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }
bool is_quote(char c) { return c == '"' || c == '\''; }
bool is_key_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}
// Of true, false, inf, nan, numbers, dates and times.
bool is_value_char(char c) { return is_key_char(c) || c == '+' || c == '.' || c == ':'; }

// Whether an unquoted value is one of those that toml++ reads without asserting what it has not looked
// at: true, false, inf, nan, decimal numbers, dates and times. Their ranges are left to it.
class BareValue {
 public:
  explicit BareValue(std::string_view text) : rest_(text) {}

  bool known() {
    if (rest_ == "true" || rest_ == "false") return true;
    if (rest_.size() > kMaxBareValue) return false;
    const auto has = [this](std::size_t i, char c) { return i < rest_.size() && rest_[i] == c; };
    if (has(2, ':')) return time() && rest_.empty();
    if (has(4, '-') && !has(0, '+') && !has(0, '-') && !has(3, 'e') && !has(3, 'E')) {
      return date() && (rest_.empty() || (take("Tt") && time() && offset() && rest_.empty()));
    }
    take("+-");
    return rest_ == "inf" || rest_ == "nan" || (number() && rest_.empty());
  }

 private:
  bool take(std::string_view one_of) {
    if (rest_.empty() || one_of.find(rest_[0]) == std::string_view::npos) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool digit() { return take("0123456789"); }
  bool two_digits() { return digit() && digit(); }
  bool date() { return two_digits() && two_digits() && take("-") && two_digits() && take("-") && two_digits(); }

  bool digits() {
    if (!digit()) return false;
    while (!rest_.empty()) {
      if (digit()) continue;
      if (!take("_")) return true;
      if (!digit()) return false;
    }
    return true;
  }

  bool number() {
    if (!digits()) return false;
    if (take(".") && !digits()) return false;
    if (!take("eE")) return true;
    take("+-");
    return digits();
  }

  bool time() {
    if (!(two_digits() && take(":") && two_digits() && take(":") && two_digits())) return false;
    if (!take(".")) return true;
    if (!digit()) return false;
    while (digit()) continue;
    return true;
  }

  bool offset() {
    if (rest_.empty() || take("Zz")) return true;
    return take("+-") && two_digits() && take(":") && two_digits();
  }

  std::string_view rest_;
};

struct CodePoint {
  unsigned value = 0;
  std::size_t bytes = 1;
};

// The one at `at` of valid UTF-8.
CodePoint code_point(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(text[at + i])); };
  if (byte(0) < 0x80) return {byte(0), 1};
  if (byte(0) < 0xE0) return {(byte(0) & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (byte(0) < 0xF0) return {(byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

std::string formatted(const char* format, unsigned value) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

// Every function that returns bool reads one thing and says whether it was there and well-formed; after
// false, error_ is set and nothing reads on.
class Guard {
 public:
  explicit Guard(std::string_view text) : text_(text) {}

  Result<std::string> run() {
    while (!at_end()) {
      if (!statement()) return tl::unexpected(std::move(*error_));
    }
    out_ += text_.substr(copied_);
    return std::move(out_);
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  bool sees(char c) const { return !at_end() && text_[at_] == c; }
  bool take(char c) {
    if (!sees(c)) return false;
    ++at_;
    return true;
  }

  bool fail(const std::string& what, const std::string& hint) {
    const std::size_t line_start = at_ == 0 ? 0 : text_.rfind('\n', at_ - 1) + 1;  // npos + 1 is 0
    const std::string_view before = text_.substr(line_start, at_ - line_start);
    const auto column =
        1 + std::count_if(before.begin(), before.end(), [](char c) { return (c & 0xC0) != 0x80; });
    error_ = Error{"not TOML: " + what + " (column " + std::to_string(column) + ")", hint, "", line_,
                   ErrorKind::kBadInput};
    return false;
  }

  // "expected X, found Y" at the present place.
  bool expected(const std::string& what, const std::string& hint) {
    if (at_end()) return fail("expected " + what + ", found the end of the file", hint);
    const CodePoint c = code_point(text_, at_);
    if (c.value == '\n' || text_.substr(at_, 2) == "\r\n") {
      return fail("expected " + what + ", found the end of the line", hint);
    }
    const bool graphic = c.value > 0x20 && c.value < 0x7F;
    const std::string shown = graphic ? std::string("'") + text_[at_] + "'" : "character " + formatted("U+%04X", c.value);
    return fail("expected " + what + ", found " + shown,
                c.value < 0x80 ? hint : "outside of quotes write plain ASCII: \" ' = , . [ ] { }");
  }

  bool count_table() {
    if (++tables_ <= kMaxTables) return true;
    error_ = Error{"more than " + std::to_string(kMaxTables) + " tables and dotted keys", "is this the right file?", "", line_,
                   ErrorKind::kBadInput};
    return false;
  }

  bool nested_too_deeply() {
    error_ = Error{"nested too deeply", "tables of strings are all that is needed", "", line_,
                   ErrorKind::kBadInput};
    return false;
  }

  void skip_blanks() {
    while (!at_end() && is_blank(text_[at_])) ++at_;
  }

  void skip_comment() {
    while (!at_end() && text_[at_] != '\n') ++at_;
  }

  bool take_line_end() {
    if (text_.substr(at_, 2) == "\r\n") ++at_;
    if (!take('\n')) return false;
    ++line_;
    return true;
  }

  // Blanks, comments and line ends: what may stand between the values of an array.
  void skip_gap() {
    while (true) {
      skip_blanks();
      if (sees('#')) skip_comment();
      if (!take_line_end()) return;
    }
  }

  // One line, or more if it holds multi-line strings or arrays.
  bool statement() {
    skip_blanks();
    if (sees('[')) {
      if (!header()) return false;
    } else if (!at_end() && !sees('#') && !sees('\n') && text_.substr(at_, 2) != "\r\n") {
      if (!pair(0)) return false;
    }
    skip_blanks();
    if (sees('#')) skip_comment();
    return at_end() || take_line_end() || expected("the end of the line", "one key = value a line; texts in quotes");
  }

  bool header() {
    ++at_;
    const bool list = take('[');
    if (!count_table() || !key()) return false;
    const char* hint = list ? "[[name]]" : "[name]";
    if (!take(']')) return expected("']'", hint);
    return !list || take(']') || expected("']'", hint);
  }

  bool key() {
    for (int dots = 0; dots <= kMaxDots; ++dots) {
      skip_blanks();
      if (!at_end() && is_quote(text_[at_])) {
        if (text_.substr(at_, 3) == std::string(3, text_[at_])) {
          return fail("a key in three quotes", "write the key without quotes");
        }
        if (!line_string()) return false;
      } else {
        if (at_end() || !is_key_char(text_[at_])) return expected("a key", "key = \"value\"");
        while (!at_end() && is_key_char(text_[at_])) ++at_;
      }
      skip_blanks();
      if (!take('.')) return true;
      if (!count_table()) return false;
    }
    return nested_too_deeply();
  }

  bool pair(int depth) {
    if (!key()) return false;
    if (!take('=')) return expected("'='", "key = \"value\"");
    skip_blanks();
    return value(depth);
  }

  bool value(int depth) {
    if (at_end()) return expected("a value", "key = \"value\"");
    const char c = text_[at_];
    if (is_quote(c)) return text_.substr(at_, 3) == std::string(3, c) ? block_string() : line_string();
    if (c == '[' || c == '{') {
      if (depth >= kMaxBrackets) return nested_too_deeply();
      return c == '[' ? array(depth + 1) : inline_table(depth + 1);
    }
    if (!is_value_char(c)) return expected("a value", "put texts in quotes");
    const std::size_t begin = at_;
    while (!at_end() && is_value_char(text_[at_])) ++at_;
    const std::string_view bare = text_.substr(begin, at_ - begin);
    if (BareValue(bare).known()) return true;
    at_ = begin;
    return fail("value " + in_quotes(bare) + " without quotes", "put texts in quotes; numbers are decimal, dates 1979-05-27");
  }

  bool array(int depth) {
    ++at_;
    while (true) {
      skip_gap();
      if (take(']')) return true;
      if (!value(depth)) return false;
      skip_gap();
      if (take(']')) return true;
      if (!take(',')) return expected("',' or ']'", "values of a list are separated by commas");
    }
  }

  bool inline_table(int depth) {
    ++at_;
    skip_blanks();
    if (take('}')) return true;
    while (true) {
      if (!pair(depth)) return false;
      skip_blanks();
      if (take('}')) return true;
      if (!take(',')) return expected("',' or '}'", "{ name = \"...\", article = \"...\" } on one line");
    }
  }

  bool line_string() {
    const char quote = text_[at_++];
    while (!at_end() && text_[at_] != '\n') {
      const char c = text_[at_++];
      if (c == quote) return true;
      if (c == '\\' && quote == '"' && !at_end() && text_[at_] != '\n') ++at_;
    }
    return expected(std::string("closing ") + quote, "texts of several lines stand in three quotes");
  }

  bool block_string() {
    const char quote = text_[at_];
    const int opened = line_;
    const std::size_t start = at_;
    at_ += 3;
    bool continued = false;  // behind a line-ending backslash, where white space is dropped
    while (!at_end()) {
      const char c = text_[at_];
      if (c == quote && ends_block(quote)) return true;
      if (continued && !is_ascii(c)) escape_here();
      if (!is_blank(c) && c != '\r' && c != '\n') continued = false;
      if (c == '\n') ++line_;
      ++at_;
      if (c != '\\' || quote != '"' || at_end()) continue;
      if (!is_ascii(text_[at_])) return fail("a backslash before a character that needs none", "remove it, or write \\\\");
      continued = is_blank(text_[at_]) || text_[at_] == '\r' || text_[at_] == '\n';
      if (!continued) ++at_;
    }
    line_ = opened;
    at_ = start;
    return fail("text in three quotes is never closed", std::string("end it with ") + std::string(3, quote));
  }

  // Up to two quotes may stand before the three that end a text.
  bool ends_block(char quote) {
    std::size_t end = at_;
    while (end < text_.size() && end < at_ + 5 && text_[end] == quote) ++end;
    if (end - at_ < 3) {
      at_ = end - 1;  // the caller steps over the last one
      return false;
    }
    at_ = end;
    return true;
  }

  // Writes the character here as \uXXXX instead. The caller steps over its first byte; the others follow.
  void escape_here() {
    const CodePoint c = code_point(text_, at_);
    out_ += text_.substr(copied_, at_ - copied_);
    out_ += formatted(c.value > 0xFFFF ? "\\U%08X" : "\\u%04X", c.value);
    copied_ = at_ + c.bytes;
  }

  std::string_view text_;
  std::size_t at_ = 0, copied_ = 0;  // of text_ as far as copied_, out_ has what replaces it
  int line_ = 1, tables_ = 0;
  std::string out_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::string> guard_toml(std::string_view text) { return Guard(text).run(); }

}  // namespace precept
