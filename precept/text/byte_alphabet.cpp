#include "precept/text/byte_alphabet.h"

#include <array>
#include <cstdint>

namespace precept {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<std::uint16_t, 256> make_code_points() {
  std::array<std::uint16_t, 256> points{};
  std::uint16_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    points[byte] = stands_for_itself(byte) ? static_cast<std::uint16_t>(byte) : next++;
  }
  return points;
}
constexpr auto kCodePoints = make_code_points();
constexpr unsigned kEnd = 0x100 + 68;  // 68 bytes do not stand for themselves

constexpr std::array<std::int16_t, kEnd> make_bytes() {
  std::array<std::int16_t, kEnd> bytes{};
  for (auto& byte : bytes) byte = -1;
  for (unsigned byte = 0; byte < 256; ++byte) bytes[kCodePoints[byte]] = static_cast<std::int16_t>(byte);
  return bytes;
}
constexpr auto kBytes = make_bytes();

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const unsigned point = kCodePoints[static_cast<unsigned char>(c)];
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else {
      out += static_cast<char>(0xC0 | (point >> 6));
      out += static_cast<char>(0x80 | (point & 0x3F));
    }
  }
  return out;
}

std::optional<std::string> from_byte_alphabet(std::string_view spelled) {
  std::string out;
  for (std::size_t i = 0; i < spelled.size(); ++i) {
    unsigned point = static_cast<unsigned char>(spelled[i]);
    if (point >= 0x80) {
      if ((point & 0xE0) != 0xC0 || i + 1 >= spelled.size()) return std::nullopt;
      const unsigned next = static_cast<unsigned char>(spelled[++i]);
      if ((next & 0xC0) != 0x80) return std::nullopt;
      point = ((point & 0x1F) << 6) | (next & 0x3F);
    }
    if (point >= kEnd || kBytes[point] < 0) return std::nullopt;
    out += static_cast<char>(kBytes[point]);
  }
  return out;
}

}  // namespace precept
