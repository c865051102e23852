#include "precept/text/unicode.h"

#include <utf8proc.h>

namespace precept {
namespace {

utf8proc_category_t category(std::uint32_t point) { return utf8proc_category(static_cast<utf8proc_int32_t>(point)); }

bool is_letter(utf8proc_category_t c) { return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO; }
bool is_mark_category(utf8proc_category_t c) { return c >= UTF8PROC_CATEGORY_MN && c <= UTF8PROC_CATEGORY_ME; }
bool is_number_category(utf8proc_category_t c) { return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO; }

}  // namespace

void append_utf8(std::string& text, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | (point >> 6));
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | (point >> 12));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | (point >> 18));
    put(0x80 | ((point >> 12) & 0x3F));
    put(0x80 | ((point >> 6) & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

CharClass unicode_detail::beyond_ascii(std::uint32_t point) {
  if (is_white_space(point)) return CharClass::kSpace;
  const auto c = category(point);
  if (is_letter(c)) return CharClass::kLetter;
  if (is_number_category(c)) return CharClass::kNumber;
  return is_mark_category(c) ? CharClass::kMark : CharClass::kOther;
}

bool is_white_space(std::uint32_t p) {
  return (p >= 9 && p <= 13) || p == ' ' || p == 0x85 || p == 0xA0 || p == 0x1680 || (p >= 0x2000 && p <= 0x200A) ||
         p == 0x2028 || p == 0x2029 || p == 0x202F || p == 0x205F || p == 0x3000;
}

bool is_mark(std::uint32_t point) { return point >= 0x300 && is_mark_category(category(point)); }
bool is_number(std::uint32_t point) { return is_number_category(category(point)); }

bool is_punctuation(std::uint32_t p) {
  if (p < 128) return (p >= 0x21 && p <= 0x2F) || (p >= 0x3A && p <= 0x40) || (p >= 0x5B && p <= 0x60) || (p >= 0x7B && p <= 0x7E);
  const auto c = category(p);
  return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool is_word(std::uint32_t p) {
  if (p == 0x200C || p == 0x200D) return true;
  const auto c = category(p);
  // Alphabetic holds letters, letter numbers, and the circled and squared letters.
  return is_letter(c) || is_mark_category(c) || c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL ||
         c == UTF8PROC_CATEGORY_PC || (p >= 0x24B6 && p <= 0x24E9) || (p >= 0x1F130 && p <= 0x1F149) ||
         (p >= 0x1F150 && p <= 0x1F169) || (p >= 0x1F170 && p <= 0x1F189);
}

}  // namespace precept
