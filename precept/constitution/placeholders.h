#pragma once
// What a template in [templates] may contain.

#include <string>
#include <string_view>
#include <vector>

namespace precept {

// The keys of Templates, in the order of the loop.
const std::vector<std::string>& template_keys();
// Every placeholder that a template may contain, without braces.
const std::vector<std::string>& placeholder_names();

struct PlaceholderProblem {
  int line_offset = 0;  // newlines before it within the template
  std::string what, hint;
};

// Unknown placeholders. A placeholder is {letters_and_underscores}; other braces are text.
std::vector<PlaceholderProblem> check_placeholders(const std::string& key, std::string_view text);

}  // namespace precept
