#include "precept/text/charsmap.h"

#include <algorithm>
#include <array>

#include "precept/core/io.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint32_t little_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t k = 4; k-- > 0;) value = (value << 8) | static_cast<unsigned char>(bytes[at + k]);
  return value;
}

// A unit of Darts' double array.
bool has_leaf(std::uint32_t unit) { return ((unit >> 8) & 1) == 1; }
std::uint32_t value_of(std::uint32_t unit) { return unit & ((1U << 31) - 1); }
std::uint32_t label_of(std::uint32_t unit) { return unit & ((1U << 31) | 0xFF); }
std::uint32_t offset_of(std::uint32_t unit) { return (unit >> 10) << ((unit & (1U << 9)) >> 6); }

}  // namespace

Result<Charsmap> Charsmap::parse(std::string_view bytes, const std::string& file) {
  const auto damaged = [&](const char* what) {
    return bad_input(std::string("precompiled_charsmap: ") + what, "the file is damaged: get it again", file);
  };
  if (bytes.size() < 4 || bytes.size() > kMaxBytes) return damaged("not a character map");
  const std::size_t trie = little_endian(bytes, 0);
  if (trie % 4 != 0 || trie < 4 || trie > bytes.size() - 4) return damaged("its trie does not fit");
  Charsmap map;
  map.units_.reserve(trie / 4);
  for (std::size_t i = 0; i < trie; i += 4) map.units_.push_back(little_endian(bytes, 4 + i));
  map.strings_ = std::string(bytes.substr(4 + trie));
  if (map.strings_.empty() || map.strings_.back() != '\0') return damaged("its last string has no end");
  if (find_invalid_utf8(map.strings_)) return damaged("its strings are not UTF-8");
  return map;
}

std::size_t Charsmap::longest_replacement() const {
  std::size_t most = 1, begin = 0;
  for (std::size_t end = strings_.find('\0'); end != std::string::npos; end = strings_.find('\0', begin)) {
    most = std::max(most, end - begin);
    begin = end + 1;
  }
  return most;
}

std::string Charsmap::to_base64() const {
  std::string bytes;
  const auto put = [&](std::uint32_t value) {
    for (int k = 0; k < 4; ++k) bytes += static_cast<char>((value >> (8 * k)) & 0xFF);
  };
  put(static_cast<std::uint32_t>(units_.size() * 4));
  for (const std::uint32_t unit : units_) put(unit);
  bytes += strings_;
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = (group << 8) | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kDigits[(group >> (18 - 6 * k)) & 63];
  }
  return out;
}

Result<Charsmap> Charsmap::from_base64(std::string_view base64, const std::string& file) {
  std::array<int, 256> digit{};
  digit.fill(-1);
  for (std::size_t i = 0; i < kDigits.size(); ++i) digit[static_cast<unsigned char>(kDigits[i])] = static_cast<int>(i);
  std::string bytes;
  std::uint32_t group = 0;
  int bits = 0;
  for (const char c : base64) {
    if (c == '=') break;
    const int value = digit[static_cast<unsigned char>(c)];
    if (value < 0) return bad_input("precompiled_charsmap is not base64", "the file is damaged: get it again", file);
    group = (group << 6) | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += static_cast<char>((group >> bits) & 0xFF);
    }
  }
  return parse(bytes, file);
}

std::size_t Charsmap::longest(std::string_view text, std::string_view& replacement) const {
  std::size_t found = 0;
  constexpr std::size_t kMaxKey = 256;  // a damaged map may go round in circles
  std::uint32_t node = offset_of(units_[0]);
  for (std::size_t i = 0; i < text.size() && i < kMaxKey; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == 0) break;
    node ^= byte;
    if (node >= units_.size() || label_of(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    if (node >= units_.size()) break;
    const std::size_t value = value_of(units_[node]);
    if (value >= strings_.size()) break;
    found = i + 1;
    replacement = std::string_view(strings_.data() + value);
  }
  // A key that ends within a character, or a replacement that begins within one: a damaged map.
  if (found < text.size() && (static_cast<unsigned char>(text[found]) & 0xC0) == 0x80) return 0;
  if (!replacement.empty() && (static_cast<unsigned char>(replacement[0]) & 0xC0) == 0x80) return 0;
  return found;
}

void Charsmap::apply(Aligned& text, const std::vector<TextSpan>& kept) const {
  text.spell_out();
  std::string out;
  std::vector<TextSpan> spans;
  out.reserve(text.text.size());
  const std::string_view in = text.text;
  auto keep = kept.begin();
  for (std::size_t i = 0; i < in.size();) {
    while (keep != kept.end() && keep->end <= i) ++keep;
    std::string_view with;
    std::size_t length = keep != kept.end() && keep->begin <= i ? 0 : longest(in.substr(i), with);
    if (length == 0) {
      length = utf8_length(in[i]);
      with = in.substr(i, length);
    }
    out += with;
    if (text.tracked) spans.insert(spans.end(), with.size(), TextSpan{text.spans[i].begin, text.spans[i + length - 1].end});
    i += length;
  }
  text.text = std::move(out);
  text.spans = std::move(spans);
}

}  // namespace precept
