#pragma once
// UTF-8, one character at a time, and what tokenizers ask about a character. Unicode as utf8proc has it (14.0 in Debian 12).

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace precept {

// Length of the sequence that begins with this byte of valid UTF-8.
inline std::size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The character at `at` of valid UTF-8.
inline std::uint32_t utf8_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return lead;
  if (lead < 0xE0) return ((lead & 0x1F) << 6) | (byte(1) & 0x3F);
  if (lead < 0xF0) return ((lead & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F);
  return ((lead & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F);
}

void append_utf8(std::string& text, std::uint32_t point);

// Where the character before `at` (> 0) begins, in valid UTF-8.
inline std::size_t utf8_before(std::string_view text, std::size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

enum class CharClass : std::uint8_t { kLetter, kNumber, kSpace, kMark, kOther };  // L, N, White_Space, M, all else

namespace unicode_detail {
constexpr std::array<CharClass, 128> ascii_classes() {
  std::array<CharClass, 128> classes{};
  for (unsigned c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 9 && c <= 13);
    classes[c] = letter ? CharClass::kLetter : c >= '0' && c <= '9' ? CharClass::kNumber
                 : space ? CharClass::kSpace : CharClass::kOther;
  }
  return classes;
}
inline constexpr auto kAscii = ascii_classes();
CharClass beyond_ascii(std::uint32_t point);
}  // namespace unicode_detail

inline CharClass char_class(std::uint32_t point) {
  return point < 128 ? unicode_detail::kAscii[point] : unicode_detail::beyond_ascii(point);
}

bool is_white_space(std::uint32_t point);  // the property White_Space
bool is_mark(std::uint32_t point);         // category M
bool is_number(std::uint32_t point);       // category N
bool is_punctuation(std::uint32_t point);  // category P, or ASCII punctuation
bool is_word(std::uint32_t point);         // letters, marks, decimal digits, connectors: \w

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

}  // namespace precept
