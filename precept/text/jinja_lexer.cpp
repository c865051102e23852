#include "precept/text/jinja_lexer.h"

#include <charconv>
#include <optional>

#include "precept/core/io.h"
#include "precept/core/quote.h"
#include "precept/text/jinja_text.h"

namespace precept::jinja {
namespace {

// Line ends become \n, and one at the very end is dropped.
std::string normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit_byte(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& file) : source_(normalized(source)), file_(file) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size() && !error_) data();
    if (error_) return tl::unexpected<Error>(std::move(*error_));
    add(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  void fail(std::string what, std::string hint) {
    if (!error_) error_ = Error{std::move(what), std::move(hint), file_, line_, ErrorKind::kBadInput};
  }
  bool looking_at(std::string_view text) const { return std::string_view(source_).substr(at_, text.size()) == text; }
  void add(TokenKind kind, std::string text = {}) { tokens_.push_back({kind, line_, std::move(text), 0, 0}); }

  void advance(std::size_t to) {
    for (; at_ < to; ++at_) line_ += source_[at_] == '\n' ? 1 : 0;
  }
  void skip_space() {
    while (at_ < source_.size()) {
      std::size_t length = 0;
      if (!is_space(decode_point(source_, at_, &length))) return;
      advance(at_ + length);
    }
  }

  // Emits the data up to `end`, where a tag with the sign '-', '+' or none begins.
  void emit_data(std::size_t begin, std::size_t end, char sign, bool is_output) {
    std::string_view text = std::string_view(source_).substr(begin, end - begin);
    if (sign == '-') {
      text = text.substr(0, stripped(text, nullptr, false, true).end);
    } else if (sign != '+' && !is_output) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
      if (start > 0 || line_starting_) {
        const TextSpan rest = stripped(text.substr(start), nullptr, true, false);
        if (rest.begin == rest.end) text = text.substr(0, start);
      }
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
    advance(end);
  }
  char sign_at(std::size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  // What follows the end of a tag: nothing, all white space, or one line end.
  void after_tag(char sign, std::size_t end, bool trim_newline) {
    const std::size_t begin = at_;
    advance(end);
    if (sign == '-') skip_space();
    else if (sign != '+' && trim_newline && at_ < source_.size() && source_[at_] == '\n') advance(at_ + 1);
    line_starting_ = at_ > begin && source_[at_ - 1] == '\n';
  }

  // Where `{%- endraw -%}` or `{% raw %}` stands at `at`, with `word` in it: where it ends and the sign of its end.
  struct Tag {
    std::size_t end = 0;
    char end_sign = '\0';
  };
  std::optional<Tag> tag_of(std::size_t at, std::string_view word, bool plus_may_end) const {
    const std::string_view all = source_;
    std::size_t i = at + 2 + (sign_at(at + 2) != '\0' ? 1 : 0);
    const auto space = [&] {
      for (std::size_t length = 0; i < all.size() && is_space(decode_point(all, i, &length));) i += length;
    };
    space();
    if (all.substr(i, word.size()) != word) return std::nullopt;
    i += word.size();
    space();
    Tag tag;
    if (i < all.size() && (all[i] == '-' || (all[i] == '+' && plus_may_end))) tag.end_sign = all[i++];
    if (all.substr(i, 2) != "%}") return std::nullopt;
    tag.end = i + 2;
    return tag;
  }

  void data() {
    std::size_t tag = at_;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        emit_data(at_, source_.size(), '+', true);
        return;
      }
      const char second = source_[tag + 1];
      if (second == '{' || second == '%' || second == '#') break;
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    emit_data(at_, tag, sign, kind == '{');
    if (kind == '#') return comment(tag);
    if (kind == '%') {
      if (const auto raw = tag_of(tag, "raw", false)) return raw_block(*raw);
    }
    const int begun = line_;
    add(kind == '{' ? TokenKind::kOutputBegin : TokenKind::kBlockBegin);
    advance(tag + 2 + (sign != '\0' ? 1 : 0));
    expression(kind == '{', begun);
  }

  void comment(std::size_t tag) {
    const std::size_t body = tag + 2 + (sign_at(tag + 2) != '\0' ? 1 : 0);
    const std::size_t close = source_.find("#}", body);
    if (close == std::string::npos) return fail("a comment has no end", "close it with #}");
    const char sign = close > body ? sign_at(close - 1) : '\0';
    after_tag(sign, close + 2, true);
  }

  void raw_block(const Tag& begin) {
    const int begun = line_;
    after_tag(begin.end_sign, begin.end, false);
    line_starting_ = source_[at_ - 1] == '\n';
    for (std::size_t close = at_;; ++close) {
      close = source_.find("{%", close);
      if (close == std::string::npos) {
        line_ = begun;
        return fail("a raw block has no end", "close it with {% endraw %}");
      }
      if (const auto end = tag_of(close, "endraw", true)) {
        emit_data(at_, close, sign_at(close + 2), false);
        return after_tag(end->end_sign, end->end, true);
      }
    }
  }

  // Tokens up to the end of the tag.
  void expression(bool is_output, int begun) {
    std::string open;
    const char* close = is_output ? "}}" : "%}";
    while (!error_) {
      skip_space();
      if (at_ >= source_.size()) {
        line_ = begun;
        return fail(std::string("a tag has no end"), std::string("close it with ") + close);
      }
      if (open.empty()) {
        const char sign = sign_at(at_);
        const bool signed_end = (sign == '-' || (sign == '+' && !is_output)) &&
                                std::string_view(source_).substr(at_ + 1, 2) == close;
        if (signed_end || looking_at(close)) {
          add(is_output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd);
          return after_tag(signed_end ? sign : '\0', at_ + (signed_end ? 3 : 2), !is_output);
        }
      }
      const char c = source_[at_];
      if (is_digit_byte(c)) number();
      else if (is_name_byte(c)) name();
      else if (c == '\'' || c == '"') string();
      else operation(open);
    }
  }

  void name() {
    std::size_t end = at_;
    while (end < source_.size() && is_name_byte(source_[end])) ++end;
    add(TokenKind::kName, source_.substr(at_, end - at_));
    at_ = end;
  }

  void number() {
    std::string digits;
    std::size_t end = at_;
    const auto run = [&] {
      while (end < source_.size() && (is_digit_byte(source_[end]) || (source_[end] == '_' && end + 1 < source_.size() &&
                                                                      is_digit_byte(source_[end + 1])))) {
        if (source_[end] != '_') digits += source_[end];
        ++end;
      }
    };
    const auto digit_at = [&](std::size_t i) { return i < source_.size() && is_digit_byte(source_[i]); };
    run();
    bool is_float = false;
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';  // a.0.1 has two numbers
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1) && !after_dot) {
      is_float = true;
      digits += source_[end++];
      run();
    }
    if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const std::size_t sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
      if (digit_at(end + 1 + sign)) {
        is_float = true;
        digits += 'e';
        if (sign != 0) digits += source_[end + 1];
        end += 1 + sign;
        run();
      }
    }
    if (end < source_.size() && is_name_byte(source_[end])) {
      return fail("a number goes on with a letter", "numbers are decimal; put a space after them");
    }
    add(is_float ? TokenKind::kFloat : TokenKind::kInteger, digits);
    Token& token = tokens_.back();
    const char* last = digits.data() + digits.size();
    const auto read = is_float ? std::from_chars(digits.data(), last, token.number)
                               : std::from_chars(digits.data(), last, token.integer);
    if (read.ec != std::errc()) return fail("the number " + in_quotes(digits) + " is out of range", "numbers have 64 bits");
    at_ = end;
  }

  void operation(std::string& open) {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%",
                                                      "~",  "[",  "]",  "(",  ")",  "{",  "}", ">", "<", "=", ".",
                                                      ":",  "|",  ",",  ";"};
    for (const std::string_view op : kOperators) {
      if (!looking_at(op)) continue;
      const char c = op[0];
      if (c == '(') open += ')';
      if (c == '[') open += ']';
      if (c == '{') open += '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) return fail("unexpected " + in_quotes(op), "nothing is open there");
        if (open.back() != c) {
          return fail("unexpected " + in_quotes(op), "expected " + in_quotes(std::string_view(&open.back(), 1)));
        }
        open.pop_back();
      }
      add(TokenKind::kOperator, std::string(op));
      at_ += op.size();
      return;
    }
    std::size_t length = 0;
    decode_point(source_, at_, &length);
    fail("unexpected character " + in_quotes(std::string_view(source_).substr(at_, length)), "quote it, if it is text");
  }

  void string() {
    const char quote = source_[at_];
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail("a text has no closing quote", std::string("close it with ") + quote);
    std::string text;
    for (std::size_t i = at_ + 1; i < end && !error_;) {
      if (source_[i] == '\\') i = escape(i + 1, end, text);
      else text += source_[i++];
    }
    add(TokenKind::kString, std::move(text));
    advance(end + 1);
  }

  // What follows a backslash, as in Python; returns where it ends.
  std::size_t escape(std::size_t at, std::size_t end, std::string& out) {
    static constexpr std::string_view kFrom = "\\'\"abfnrtv", kTo = "\\'\"\a\b\f\n\r\t\v";
    const char c = source_[at];
    if (c == '\n') return at + 1;
    if (const std::size_t plain = kFrom.find(c); plain != std::string_view::npos) {
      out += kTo[plain];
      return at + 1;
    }
    char32_t point = 0;
    std::size_t i = at;
    if (c >= '0' && c <= '7') {
      for (; i < end && i < at + 3 && source_[i] >= '0' && source_[i] <= '7'; ++i) {
        point = point * 8 + static_cast<char32_t>(source_[i] - '0');
      }
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const char* first = source_.data() + at + 1;
      std::uint32_t value = 0;
      if (at + 1 + digits > end || std::from_chars(first, first + digits, value, 16).ptr != first + digits ||
          value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
        fail("a text has a damaged \\" + std::string(1, c) + " escape", "give it all its hexadecimal digits");
        return end;
      }
      point = value;
      i = at + 1 + digits;
    } else if (c == 'N') {
      fail("names of characters (\\N) are not supported", "write the character itself");
      return end;
    } else {
      out += '\\';  // no escape: both stay
      return at;
    }
    append_point(out, point);
    return i;
  }

  std::string source_;
  const std::string& file_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source, const std::string& file) {
  return Lexer(source, file).run();
}

}  // namespace precept::jinja
