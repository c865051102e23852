#include "precept/text/fast_split.h"

#include "precept/text/unicode.h"

namespace precept {
namespace {

constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Char {
  CharClass kind;
  std::size_t end;
};

inline Char char_at(std::string_view text, std::size_t at) {
  return {char_class(utf8_at(text, at)), at + utf8_length(text[at])};
}

// The end of the run of characters for which `keep` holds.
template <class Keep>
inline std::size_t run(std::string_view text, std::size_t at, Keep keep) {
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (!keep(c.kind)) break;
    at = c.end;
  }
  return at;
}
inline std::size_t letters(std::string_view text, std::size_t at) {
  return run(text, at, [](CharClass c) { return c == CharClass::kLetter; });
}
constexpr bool is_sign(CharClass c) { return c == CharClass::kMark || c == CharClass::kOther; }

// Length of a contraction at the apostrophe at `at`; 0: none. Folded: as (?i:...), where U+017F is an s too.
std::size_t contraction(std::string_view text, std::size_t at, bool folded) {
  const std::string_view rest = text.substr(at + 1, 2);
  if (rest.empty()) return 0;
  const auto low = [&](char c) { return folded && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const char first = low(rest[0]);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (rest.size() < 2) return 0;
  if (folded && rest == "\xC5\xBF") return 3;
  const char second = low(rest[1]);
  return (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l') ? 3 : 0;
}

// A run of white space from `at` on: all of it at the end of the text or where it is one character, else all but the last.
std::size_t spaces(std::string_view text, std::size_t at, std::size_t end) {
  if (end == text.size()) return end;
  const std::size_t last = utf8_before(text, end);
  return last > at ? last : end;
}

}  // namespace

std::string_view split_pattern(SplitFamily family) {
  return family == SplitFamily::kGpt2 ? kGpt2 : family == SplitFamily::kLlama3 ? kLlama3 : kQwen2;
}

std::optional<SplitFamily> family_of_pattern(std::string_view regex) {
  for (const SplitFamily family : {SplitFamily::kGpt2, SplitFamily::kLlama3, SplitFamily::kQwen2}) {
    if (regex == split_pattern(family)) return family;
  }
  return std::nullopt;
}

std::size_t gpt2_piece_end(std::string_view text, std::size_t at) {
  if (text[at] == '\'') {
    if (const std::size_t length = contraction(text, at, false)) return at + length;
  }
  Char first = char_at(text, at);
  std::size_t start = at;
  if (text[at] == ' ' && first.end < text.size()) {
    const Char next = char_at(text, first.end);
    if (next.kind != CharClass::kSpace) {
      start = first.end;
      first = next;
    }
  }
  switch (first.kind) {
    case CharClass::kLetter:
      return letters(text, first.end);
    case CharClass::kNumber:
      return run(text, first.end, [](CharClass c) { return c == CharClass::kNumber; });
    case CharClass::kSpace:
      return spaces(text, at, run(text, start, [](CharClass c) { return c == CharClass::kSpace; }));
    default:
      return run(text, first.end, is_sign);
  }
}

std::size_t llama3_piece_end(std::string_view text, std::size_t at, std::size_t max_digits) {
  if (text[at] == '\'') {
    if (const std::size_t length = contraction(text, at, true)) return at + length;
  }
  const Char first = char_at(text, at);
  if (first.kind == CharClass::kLetter) return letters(text, first.end);
  if (first.kind == CharClass::kNumber) {
    std::size_t end = first.end;
    for (std::size_t n = 1; n < max_digits && end < text.size(); ++n) {
      const Char next = char_at(text, end);
      if (next.kind != CharClass::kNumber) break;
      end = next.end;
    }
    return end;
  }
  const bool line_end = text[at] == '\r' || text[at] == '\n';
  if (!line_end && first.end < text.size() && char_at(text, first.end).kind == CharClass::kLetter) {
    return letters(text, first.end);
  }
  const auto line_ends = [&](std::size_t i) {
    while (i < text.size() && (text[i] == '\r' || text[i] == '\n')) ++i;
    return i;
  };
  if (is_sign(first.kind)) return line_ends(run(text, first.end, is_sign));
  if (text[at] == ' ' && first.end < text.size() && is_sign(char_at(text, first.end).kind)) {
    return line_ends(run(text, first.end, is_sign));
  }
  const std::size_t end = run(text, at, [](CharClass c) { return c == CharClass::kSpace; });
  const std::size_t last_line = text.substr(at, end - at).find_last_of("\r\n");
  if (last_line != std::string_view::npos) return at + last_line + 1;
  return spaces(text, at, end);
}

}  // namespace precept
