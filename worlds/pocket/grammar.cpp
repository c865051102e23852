#include "worlds/pocket/grammar.h"

#include <cctype>
#include <vector>

#include "precept/core/result.h"

namespace precept::pocket {
namespace {

// Splits "a|b|c)" at the bars of its own level; `at` starts after "(" and ends after ")".
std::vector<std::string_view> alternatives(std::string_view pattern, std::size_t& at) {
  std::vector<std::string_view> out;
  int depth = 0;
  std::size_t begin = at;
  for (; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if (c == '(') ++depth;
    if (c == '|' && depth == 0) {
      out.push_back(pattern.substr(begin, at - begin));
      begin = at + 1;
    }
    if (c == ')' && depth-- == 0) {
      out.push_back(pattern.substr(begin, at - begin));
      ++at;
      return out;
    }
  }
  PRECEPT_CHECK(false && "unbalanced parenthesis in a pattern");
  return out;
}

}  // namespace

std::string expand(std::string_view pattern, const Slots& slots, Rng& rng) {
  std::string out;
  for (std::size_t at = 0; at < pattern.size();) {
    if (pattern[at] == '(') {
      const auto choices = alternatives(pattern, ++at);
      out += expand(rng.pick(choices), slots, rng);
    } else if (pattern[at] == '{') {
      const std::size_t end = pattern.find('}', at);
      PRECEPT_CHECK(end != std::string_view::npos);
      const auto slot = slots.find(std::string(pattern.substr(at + 1, end - at - 1)));
      PRECEPT_CHECK(slot != slots.end());
      out += slot->second;
      at = end + 1;
    } else {
      out += pattern[at++];
    }
  }
  return out;
}

std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

}  // namespace precept::pocket
