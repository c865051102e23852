#include "precept/constitution/placeholders.h"

#include <algorithm>
#include <iterator>

#include "precept/constitution/suggest.h"

namespace precept {
namespace {

using Names = std::vector<std::string>;

constexpr std::string_view kOfPrinciple[] = {"principle", "why", "applies_to", "principles"};

bool is_name_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

int newlines_before(std::string_view pattern, std::size_t at) {
  return static_cast<int>(std::count(pattern.begin(), pattern.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

std::string in_braces(const Names& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "{" : " {") + name + "}";
  return out;
}

// "it needs {conversation} {reply}; it may have {why}"
std::string needs(const TemplateRule& rule) {
  return "it needs " + in_braces(rule.must) + (rule.may.empty() ? "" : "; it may have " + in_braces(rule.may));
}

std::string unknown_hint(const TemplateRule& rule, const std::string& name) {
  Names known = rule.must;
  known.insert(known.end(), rule.may.begin(), rule.may.end());
  const std::string best = nearest(name, known);
  return best.empty() ? needs(rule) : "did you mean {" + best + "}?";
}

}  // namespace

const std::vector<TemplateRule>& template_rules() {
  using FirstLine = TemplateRule::FirstLine;
  static const std::vector<TemplateRule> rules = {
      {"select", {"conversation", "principle"}, {"why", "applies_to"}, FirstLine::kBeforePrinciple},
      {"draft", {"prompt"}, {}, FirstLine::kFree},
      {"judge", {"conversation", "reply", "principle"}, {"why", "applies_to"}, FirstLine::kBeforePrinciple},
      {"critique", {"conversation", "reply", "principle"}, {"why", "applies_to"}, FirstLine::kReplaceable},
      {"revise", {"conversation", "reply", "principle"}, {"critique", "why", "applies_to"}, FirstLine::kReplaceable},
      {"select_list", {"conversation", "principles"}, {}, FirstLine::kFree},
      {"judge_list", {"conversation", "reply", "principles"}, {}, FirstLine::kFree},
  };
  return rules;
}

const TemplateRule* find_template_rule(std::string_view key) {
  const auto& rules = template_rules();
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const TemplateRule& each) { return each.key == key; });
  return rule == rules.end() ? nullptr : &*rule;
}

std::vector<std::string> template_keys() {
  Names keys;
  for (const TemplateRule& rule : template_rules()) keys.push_back(rule.key);
  return keys;
}

void walk_placeholders(std::string_view pattern, const std::function<void(std::string_view)>& text,
                       const std::function<void(std::string_view, std::size_t)>& name) {
  std::size_t plain = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] != '{') continue;
    std::size_t end = at + 1;
    while (end < pattern.size() && is_name_byte(pattern[end])) ++end;
    if (end == pattern.size() || end == at + 1 || pattern[end] != '}') continue;
    text(pattern.substr(plain, at - plain));
    name(pattern.substr(at + 1, end - at - 1), at);
    plain = end + 1;
    at = end;
  }
  text(pattern.substr(plain));
}

std::size_t principle_line(std::string_view pattern) {
  std::size_t first = pattern.size();
  walk_placeholders(
      pattern, [](std::string_view) {},
      [&](std::string_view name, std::size_t at) {
        if (std::find(std::begin(kOfPrinciple), std::end(kOfPrinciple), name) != std::end(kOfPrinciple)) {
          first = std::min(first, at);
        }
      });
  if (first == pattern.size()) return first;
  const std::size_t line = first == 0 ? std::string_view::npos : pattern.rfind('\n', first - 1);
  return line == std::string_view::npos ? 0 : line + 1;
}

std::vector<TemplateProblem> check_template(const TemplateRule& rule, std::string_view pattern) {
  std::vector<TemplateProblem> problems;
  Names used, used_later;  // later: after the first line
  walk_placeholders(
      pattern, [](std::string_view) {},
      [&](std::string_view view, std::size_t at) {
        const std::string name(view);
        used.push_back(name);
        const int line = newlines_before(pattern, at);
        if (line > 0) used_later.push_back(name);
        if (!contains(rule.must, name) && !contains(rule.may, name)) {
          problems.push_back({line, "unknown placeholder {" + name.substr(0, 60) + "} in template " + rule.key,
                              unknown_hint(rule, name)});
        }
      });
  for (const std::string& name : rule.must) {
    if (!contains(used, name)) {
      problems.push_back({0, "template " + rule.key + " lacks {" + name + "}", needs(rule)});
    } else if (rule.first_line == TemplateRule::FirstLine::kReplaceable && !contains(used_later, name)) {
      problems.push_back({0, "template " + rule.key + " has {" + name + "} in its first line only",
                          "a principle's own wording replaces the first line: put {" + name + "} below it"});
    }
  }
  if (rule.first_line == TemplateRule::FirstLine::kBeforePrinciple && principle_line(pattern) == 0) {
    problems.push_back({0, "template " + rule.key + " names the principle in its first line",
                        "begin with what is the same for all principles; the principle comes on a later line"});
  }
  return problems;
}

}  // namespace precept
