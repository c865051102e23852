#include "precept/text/jinja_text.h"

#include <algorithm>

#include <utf8proc.h>

namespace precept::jinja {

Text::Text(std::string text, bool from_input) : bytes(std::move(text)) {
  if (from_input && !bytes.empty()) input.push_back({0, bytes.size()});
}

void Text::append(std::string_view more, bool from_input) {
  if (more.empty()) return;
  const std::size_t begin = bytes.size();
  bytes += more;
  if (!from_input) return;
  if (!input.empty() && input.back().end == begin) input.back().end = bytes.size();
  else input.push_back({begin, bytes.size()});
}

void Text::append(const Text& more, std::size_t begin, std::size_t end) {
  if (begin >= end) return;
  const std::size_t shift = bytes.size();
  bytes.append(more.bytes, begin, end - begin);
  const auto first = std::partition_point(more.input.begin(), more.input.end(),
                                          [&](const TextSpan& span) { return span.end <= begin; });
  for (auto span = first; span != more.input.end() && span->begin < end; ++span) {
    const TextSpan moved = {shift + std::max(span->begin, begin) - begin, shift + std::min(span->end, end) - begin};
    if (!input.empty() && input.back().end == moved.begin) input.back().end = moved.end;
    else input.push_back(moved);
  }
}

Text Text::part(std::size_t begin, std::size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

bool Text::is_input(std::size_t at) const {
  const auto span = std::partition_point(input.begin(), input.end(), [&](const TextSpan& s) { return s.end <= at; });
  return span != input.end() && span->begin <= at;
}

bool Points::next() {
  begin = end;
  if (begin >= text_.bytes.size()) return false;
  std::size_t length = 0;
  point = decode_point(text_.bytes, begin, &length);
  end = begin + length;
  while (span_ < text_.input.size() && text_.input[span_].end <= begin) ++span_;
  input = span_ < text_.input.size() && text_.input[span_].begin < end;
  return true;
}

char32_t decode_point(std::string_view bytes, std::size_t at, std::size_t* length) {
  const auto byte = [&](std::size_t i) -> char32_t {
    return at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0x80;
  };
  const char32_t lead = byte(0);
  std::size_t size = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  size = std::min(size, bytes.size() - at);
  *length = size;
  if (size == 1) return lead;
  char32_t point = lead & (size == 2 ? 0x1F : size == 3 ? 0x0F : 0x07);
  for (std::size_t i = 1; i < size; ++i) point = point << 6 | (byte(i) & 0x3F);
  return point;
}

void append_point(std::string& out, char32_t point) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

namespace {
bool begins_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

std::u32string mapped(char32_t point, utf8proc_int32_t (*map)(utf8proc_int32_t)) {
  return std::u32string(1, static_cast<char32_t>(map(static_cast<utf8proc_int32_t>(point))));
}

utf8proc_category_t category(char32_t point) { return utf8proc_category(static_cast<utf8proc_int32_t>(point)); }
}  // namespace

std::size_t count_points(std::string_view bytes) {
  return static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), begins_point));
}

std::size_t offset_of_point(std::string_view bytes, std::size_t index) {
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    if (begins_point(bytes[at]) && index-- == 0) return at;
  }
  return bytes.size();
}

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::u32string upper_point(char32_t point) {
  if (point == 0xDF) return U"SS";
  return mapped(point, utf8proc_toupper);
}
std::u32string lower_point(char32_t point) { return mapped(point, utf8proc_tolower); }
std::u32string title_point(char32_t point) {
  if (point == 0xDF) return U"Ss";
  return mapped(point, utf8proc_totitle);
}
bool is_upper(char32_t point) { return category(point) == UTF8PROC_CATEGORY_LU; }
bool is_lower(char32_t point) { return category(point) == UTF8PROC_CATEGORY_LL; }
bool is_cased(char32_t point) { return is_upper(point) || is_lower(point) || category(point) == UTF8PROC_CATEGORY_LT; }
bool is_alpha(char32_t point) {
  return is_cased(point) || category(point) == UTF8PROC_CATEGORY_LM || category(point) == UTF8PROC_CATEGORY_LO;
}
bool is_digit(char32_t point) { return category(point) == UTF8PROC_CATEGORY_ND; }

TextSpan stripped(std::string_view bytes, const std::string* chars, bool left, bool right) {
  std::u32string set;
  if (chars != nullptr) {
    for (std::size_t at = 0, length = 0; at < chars->size(); at += length) set += decode_point(*chars, at, &length);
  }
  std::sort(set.begin(), set.end());
  const auto goes = [&](char32_t point) {
    return chars != nullptr ? std::binary_search(set.begin(), set.end(), point) : is_space(point);
  };
  TextSpan kept = {0, bytes.size()};
  while (left && kept.begin < kept.end) {
    std::size_t length = 0;
    if (!goes(decode_point(bytes, kept.begin, &length))) break;
    kept.begin += length;
  }
  while (right && kept.begin < kept.end) {
    std::size_t last = kept.end - 1, length = 0;
    while (last > kept.begin && !begins_point(bytes[last])) --last;
    if (!goes(decode_point(bytes, last, &length))) break;
    kept.end = last;
  }
  return kept;
}

}  // namespace precept::jinja
