#include "precept/constitution/markdown_guard.h"

#include <algorithm>
#include <cstddef>

namespace precept {
namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 20;
constexpr std::size_t kMaxParagraph = std::size_t{16} << 10;
constexpr int kMaxContainers = 32;
constexpr std::size_t kMaxIndent = 256;

// How many quotes and list items a line could open, counted generously.
int containers(std::string_view line) {
  int count = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '>' || c == '-' || c == '+' || c == '*' || c == '.' || c == ')') ++count;
    else if (c != ' ' && c != '\t' && !(c >= '0' && c <= '9')) break;
  }
  return count;
}

// A line of one character repeated, such as a rule of dashes, opens nothing.
bool is_rule(std::string_view line) {
  const std::size_t first = line.find_first_not_of(" \t");
  if (first == std::string_view::npos || (line[first] != '-' && line[first] != '*')) return false;
  return line.find_first_not_of(line[first], first) >= line.find_last_not_of(" \t\r") + 1;
}

// Markdown ends lines at \n, \r\n and \r.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end);
  if (text.substr(0, 2) == "\r\n") text.remove_prefix(2);
  else if (!text.empty()) text.remove_prefix(1);
  return line;
}

}  // namespace

std::optional<Unbounded> find_unbounded(std::string_view text) {
  if (text.size() > kMaxText) {
    return Unbounded{1, "file is larger than " + std::to_string(kMaxText) + " bytes", "is this the right file?"};
  }
  int number = 0, paragraph_line = 1;
  std::size_t paragraph = 0;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    ++number;
    const std::size_t indent = std::min(line.find_first_not_of(" \t"), line.size());
    if (indent == line.size()) {
      paragraph = 0;
      continue;
    }
    if (paragraph == 0) paragraph_line = number;
    paragraph += line.size() + 1;
    if (indent > kMaxIndent || (!is_rule(line) && containers(line) > kMaxContainers)) {
      return Unbounded{number, "nested too deeply", "a constitution needs headings, paragraphs and plain lists"};
    }
    if (paragraph > kMaxParagraph) {
      return Unbounded{paragraph_line, "paragraph longer than " + std::to_string(kMaxParagraph) + " bytes",
                       "separate paragraphs by blank lines"};
    }
  }
  return std::nullopt;
}

int skip_front_matter(std::string_view& text) {
  std::string_view rest = text;
  if (take_line(rest) != "---") return 0;
  for (int lines = 2; lines <= 100 && !rest.empty(); ++lines) {
    if (take_line(rest) != "---") continue;
    text = rest;
    return lines;
  }
  return 0;
}

}  // namespace precept
