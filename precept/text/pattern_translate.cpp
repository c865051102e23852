// Oniguruma's regular expressions in PCRE2's words.

#include <algorithm>
#include <initializer_list>

#include "precept/core/strict_json.h"
#include "precept/text/pattern.h"

namespace precept {
namespace {

constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

bool one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class Translator {
 public:
  Translator(std::string_view in, const std::string& file) : in_(in), file_(file) {}

  Result<std::string> run() {
    while (at_ < in_.size()) {
      if (auto fine = in_class_ ? inside_class() : outside_class(); !fine) return tl::unexpected<Error>(fine.error());
    }
    return out_;
  }

 private:
  tl::unexpected<Error> refuse(const std::string& what) const {
    return bad_input("regular expression " + in_quotes(in_) + ": " + what + " is not supported",
                     "the patterns of GPT-2, Llama 3, Qwen 2, DeepSeek and GPT-4o are", file_);
  }

  Status outside_class() {
    const char c = in_[at_];
    if (c == '\\') return escape();
    if (c == '[') {
      in_class_ = true;
      class_start_ = true;
      out_ += c;
      ++at_;
      if (at_ < in_.size() && in_[at_] == '^') out_ += in_[at_++];
      return {};
    }
    if (c == '{') return interval();
    if (c == '(' && at_ + 1 < in_.size() && in_[at_ + 1] == '?') return group();
    if (c == '(' && at_ + 1 < in_.size() && in_[at_ + 1] == '*') return refuse("(*");
    out_ += c;
    ++at_;
    return {};
  }

  // Of the groups (?...) those that mean the same to both.
  Status group() {
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"}) {
      if (in_.substr(at_, known.size()) != known) continue;
      out_ += known;
      at_ += known.size();
      return {};
    }
    return refuse("group " + std::string(in_.substr(at_, 4)));
  }

  // {n,m}+ is possessive in PCRE2 and a repeated repetition in Ruby's syntax.
  Status interval() {
    const std::size_t end = in_.find('}', at_);
    const std::string_view body = end == std::string_view::npos ? std::string_view() : in_.substr(at_ + 1, end - at_ - 1);
    if (body.empty() || body.find_first_not_of("0123456789,") != std::string_view::npos || body[0] == ',') {
      return refuse("a brace that is no repetition");
    }
    if (end + 1 < in_.size() && in_[end + 1] == '+') return refuse("a repetition of a repetition");
    out_ += in_.substr(at_, end + 1 - at_);
    at_ = end + 1;
    return {};
  }

  Status inside_class() {
    const char c = in_[at_];
    const bool first = class_start_;
    class_start_ = false;
    if (c == '\\') return escape();
    if (c == '[') return refuse("a class inside a class");
    if (in_.substr(at_, 2) == "&&") return refuse("an intersection of classes");
    if (c == ']' && !first) in_class_ = false;
    if (c == ']' && first) return refuse("a class that begins with ]");
    out_ += c;
    ++at_;
    return {};
  }

  Status escape() {
    if (at_ + 1 >= in_.size()) return refuse("a backslash at the end");
    const char c = in_[at_ + 1];
    at_ += 2;
    switch (c) {
      case 's': out_ += "\\p{White_Space}"; return {};
      case 'S': out_ += "\\P{White_Space}"; return {};
      case 'd': out_ += "\\p{Nd}"; return {};
      case 'D': out_ += "\\P{Nd}"; return {};
      case 'w': out_ += in_class_ ? std::string(kWord) : "[" + std::string(kWord) + "]"; return {};
      case 'W':
        if (in_class_) return refuse("\\W in a class");
        out_ += "[^" + std::string(kWord) + "]";
        return {};
      case 'p':
      case 'P': return property(c);
      case 'x':
      case 'u': return code_point(c);
      case 'A':
      case 'z':
      case 'Z':
        if (in_class_) return refuse(std::string("\\") + c + " in a class");
        [[fallthrough]];
      case 'n': case 'r': case 't': case 'f':
        out_ += std::string("\\") + c;
        return {};
      case 'v': out_ += "\\x{0B}"; return {};
      default: break;
    }
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return refuse(std::string("\\") + c);
    out_ += static_cast<unsigned char>(c) < 0x80 ? std::string("\\") + c : std::string(1, c);
    return {};
  }

  // General categories are the same; a script is the script itself, not its extensions.
  Status property(char p) {
    const std::size_t end = in_.find('}', at_);
    if (at_ >= in_.size() || in_[at_] != '{' || end == std::string_view::npos) return refuse("a property without braces");
    std::string_view name = in_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    bool negated = p == 'P';
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.remove_prefix(1);
    }
    const std::string head = negated ? "\\P{" : "\\p{";
    static constexpr std::pair<std::string_view, std::string_view> kLong[] = {
        {"Letter", "L"}, {"Mark", "M"}, {"Number", "N"}, {"Punctuation", "P"}, {"Punct", "P"}, {"Symbol", "S"}, {"Separator", "Z"},
        {"Other", "C"}, {"Uppercase_Letter", "Lu"}, {"Lowercase_Letter", "Ll"}, {"Decimal_Number", "Nd"}, {"Digit", "Nd"},
        {"Space", "White_Space"}, {"White_Space", "White_Space"}, {"Alphabetic", "Alphabetic"}, {"Alpha", "Alphabetic"},
        {"Uppercase", "Uppercase"}, {"Lowercase", "Lowercase"}};
    for (const auto& entry : kLong) {
      if (entry.first == name) {
        out_ += head + std::string(entry.second) + "}";
        return {};
      }
    }
    if (one_of(name, {"L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe",
                      "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Cs", "Co", "Cn"})) {
      out_ += head + std::string(name) + "}";
      return {};
    }
    if (one_of(name, {"Han", "Hiragana", "Katakana", "Hangul", "Latin", "Greek", "Cyrillic", "Arabic", "Hebrew", "Thai", "Lao", "Khmer",
                      "Myanmar", "Tibetan", "Devanagari", "Bengali", "Tamil", "Telugu", "Armenian", "Georgian", "Common", "Bopomofo"})) {
      out_ += head + "sc:" + std::string(name) + "}";
      return {};
    }
    return refuse("the property " + in_quotes(name));
  }

  // \xHH, \x{H...}, \uHHHH
  Status code_point(char kind) {
    std::string_view digits;
    if (kind == 'x' && at_ < in_.size() && in_[at_] == '{') {
      const std::size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) return refuse("\\x{ without its end");
      digits = in_.substr(at_ + 1, end - at_ - 1);
      at_ = end + 1;
    } else {
      const std::size_t want = kind == 'x' ? 2 : 4;
      digits = in_.substr(at_, want);
      if (digits.size() < want) return refuse(std::string("\\") + kind + " cut short");
      at_ += want;
    }
    if (digits.empty() || digits.size() > 6 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      return refuse(std::string("\\") + kind + " without hexadecimal digits");
    }
    // \x80 to \xFF are single bytes to Oniguruma, never characters.
    if (kind == 'x' && in_[at_ - 1] != '}' && (digits[0] > '7')) return refuse("a byte above 7F");
    out_ += "\\x{" + std::string(digits) + "}";
    return {};
  }

  std::string_view in_;
  const std::string& file_;
  std::string out_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  bool class_start_ = false;
};

}  // namespace

Result<std::string> oniguruma_to_pcre2(std::string_view pattern, const std::string& file) {
  return Translator(pattern, file).run();
}

}  // namespace precept
