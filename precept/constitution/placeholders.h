#pragma once
// What the templates in [templates] may and must contain: the one list, by which `constitution check` finds what is
// wrong and the loop fills in. A placeholder is {letters_and_underscores}; other braces are text.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace precept {

struct TemplateRule {
  enum class FirstLine {
    kFree,
    kBeforePrinciple,  // what all principles share comes first: the principle is named after the first line
    kReplaceable,      // a principle's own wording replaces the first line: what must be there stands after it
  };
  std::string key;
  std::vector<std::string> must, may;  // placeholders without braces
  FirstLine first_line = FirstLine::kFree;
};

// In the order of the loop.
const std::vector<TemplateRule>& template_rules();
const TemplateRule* find_template_rule(std::string_view key);  // nullptr: there is no such template
std::vector<std::string> template_keys();

// Calls `text` and `name` in turn; `name` gets the placeholder without braces, and where its brace stands.
void walk_placeholders(std::string_view pattern, const std::function<void(std::string_view)>& text,
                       const std::function<void(std::string_view, std::size_t)>& name);

// Start of the line that holds the first placeholder of a principle; pattern.size() when there is none.
std::size_t principle_line(std::string_view pattern);

struct TemplateProblem {
  int line_offset = 0;  // newlines before it within the template
  std::string what, hint;
};

// Unknown placeholders, missing ones, and those in the wrong place.
std::vector<TemplateProblem> check_template(const TemplateRule& rule, std::string_view pattern);

}  // namespace precept
