#pragma once
// Text that knows which of its bytes came from input (the contract: chat_template.h), and code points.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "precept/text/text_span.h"

namespace precept::jinja {

struct Text {
  std::string bytes;            // valid UTF-8
  std::vector<TextSpan> input;  // sorted, apart from each other, never empty; edges are edges of code points

  Text() = default;
  Text(std::string text, bool from_input);

  void append(std::string_view more, bool from_input);
  void append(const Text& more) { append(more, 0, more.bytes.size()); }
  void append(const Text& more, std::size_t begin, std::size_t end);  // more's bytes [begin, end)

  Text part(std::size_t begin, std::size_t end) const;
  bool any_input() const { return !input.empty(); }
  bool is_input(std::size_t at) const;  // the byte at `at`
};

// Walks over the code points of a text with their marks.
class Points {
 public:
  explicit Points(const Text& text) : text_(text) {}
  bool next();  // false at the end

  char32_t point = 0;
  std::size_t begin = 0, end = 0;  // bytes of the point
  bool input = false;

 private:
  const Text& text_;
  std::size_t span_ = 0;
};

// The code point at `at` and how many bytes it has; the bytes are valid UTF-8.
char32_t decode_point(std::string_view bytes, std::size_t at, std::size_t* length);
void append_point(std::string& out, char32_t point);  // as UTF-8
std::size_t count_points(std::string_view bytes);
// Byte offset of the point number `index`; the size where there are fewer.
std::size_t offset_of_point(std::string_view bytes, std::size_t index);

bool is_space(char32_t point);  // as Python's str.isspace

// Python's upper(), lower() and title() of one point: Unicode's one-to-one mappings, and SS for a German sharp s.
std::u32string upper_point(char32_t point);
std::u32string lower_point(char32_t point);
std::u32string title_point(char32_t point);
bool is_cased(char32_t point);
bool is_upper(char32_t point);
bool is_lower(char32_t point);
bool is_alpha(char32_t point);
bool is_digit(char32_t point);

// Byte range of `bytes` without white space, or without the points of `chars` if it is not null, at either end.
TextSpan stripped(std::string_view bytes, const std::string* chars, bool left, bool right);

}  // namespace precept::jinja
