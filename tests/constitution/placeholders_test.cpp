#include "precept/constitution/placeholders.h"

#include <gtest/gtest.h>

namespace precept {
namespace {

// "LINE_OFFSET what" of each problem.
std::vector<std::string> problems_of(const std::string& key, const std::string& pattern) {
  const TemplateRule* rule = find_template_rule(key);
  EXPECT_NE(rule, nullptr) << key;
  std::vector<std::string> found;
  for (const TemplateProblem& problem : check_template(*rule, pattern)) {
    EXPECT_FALSE(problem.hint.empty()) << problem.what;
    found.push_back(std::to_string(problem.line_offset) + " " + problem.what);
  }
  return found;
}

using Problems = std::vector<std::string>;

// A pattern with everything in place, and the same without one name.
std::string pattern_of(const TemplateRule& rule, const std::string& without = "") {
  std::string pattern = "first line\n";
  for (const auto* names : {&rule.must, &rule.may}) {
    for (const std::string& name : *names) pattern += name == without ? "" : "{" + name + "} ";
  }
  return pattern;
}

TEST(Placeholders, EachTemplateTakesItsOwnAndNeedsWhatItMust) {
  for (const TemplateRule& rule : template_rules()) {
    SCOPED_TRACE(rule.key);
    EXPECT_EQ(problems_of(rule.key, pattern_of(rule)), Problems());
    for (const std::string& name : rule.must) {
      EXPECT_EQ(problems_of(rule.key, pattern_of(rule, name)).at(0), "0 template " + rule.key + " lacks {" + name + "}");
    }
    for (const std::string& name : rule.may) EXPECT_EQ(problems_of(rule.key, pattern_of(rule, name)), Problems());
  }
}

TEST(Placeholders, ThoseOfOtherTemplatesAreUnknown) {
  EXPECT_EQ(problems_of("draft", "{prompt}\n\n{reply}"), Problems{"2 unknown placeholder {reply} in template draft"});
  EXPECT_EQ(problems_of("select", "{conversation}\n{principle}{principles}"),
            Problems{"1 unknown placeholder {principles} in template select"});
  EXPECT_EQ(problems_of("revise", "a\n{conversation}{reply}{principle}{Critique}"),
            Problems{"1 unknown placeholder {Critique} in template revise"});
}

TEST(Placeholders, OtherBracesAreText) {
  EXPECT_EQ(problems_of("draft", "{ prompt } {} {a1} {\"x\": {}} {{prompt}} {"), Problems());
  std::string out;
  walk_placeholders(
      "{{a}} { b } {c_D}{", [&](std::string_view text) { out += text; },
      [&](std::string_view name, std::size_t at) { out += "<" + std::string(name) + std::to_string(at) + ">"; });
  EXPECT_EQ(out, "{<a1>} { b } <c_D12>{");
}

TEST(Placeholders, PlacesMatter) {
  EXPECT_EQ(problems_of("judge", "{principle}\n{conversation}{reply}"),
            Problems{"0 template judge names the principle in its first line"});
  EXPECT_EQ(problems_of("select", "{why}\n{conversation}{principle}"),
            Problems{"0 template select names the principle in its first line"});
  EXPECT_EQ(problems_of("critique", "{conversation} {reply}\n{reply} {principle}"),
            Problems{"0 template critique has {conversation} in its first line only"});
  EXPECT_EQ(problems_of("judge_list", "{principles}{conversation}{reply}"), Problems());
}

TEST(Placeholders, ThePrincipleBeginsALine) {
  EXPECT_EQ(principle_line("a\nb {why}\n{principle}"), 2U);
  EXPECT_EQ(principle_line("{principles}"), 0U);
  EXPECT_EQ(principle_line("{reply}\n"), 8U) << "none";
}

}  // namespace
}  // namespace precept
