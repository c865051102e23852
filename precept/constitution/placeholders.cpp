#include "precept/constitution/placeholders.h"

#include <algorithm>
#include <cstddef>

#include "precept/constitution/suggest.h"

namespace precept {

const std::vector<std::string>& template_keys() {
  static const std::vector<std::string> keys = {"select",      "judge",      "critique", "revise",
                                                "select_list", "judge_list"};
  return keys;
}

const std::vector<std::string>& placeholder_names() {
  static const std::vector<std::string> names = {"conversation", "prompt", "principle",  "why",
                                                 "applies_to",   "reply",  "critique", "principles"};
  return names;
}

std::vector<PlaceholderProblem> check_placeholders(const std::string& key, std::string_view text) {
  std::vector<PlaceholderProblem> problems;
  int newlines = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n') ++newlines;
    if (text[i] != '{') continue;
    std::size_t end = i + 1;
    while (end < text.size() && ((text[end] >= 'a' && text[end] <= 'z') || (text[end] >= 'A' && text[end] <= 'Z') ||
                                 text[end] == '_')) {
      ++end;
    }
    if (end == i + 1 || end == text.size() || text[end] != '}') continue;
    const std::string name(text.substr(i + 1, end - i - 1));
    const auto& known = placeholder_names();
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      problems.push_back({newlines, "unknown placeholder {" + name.substr(0, 60) + "} in template " + key,
                          suggest(name, known)});
    }
  }
  return problems;
}

}  // namespace precept
