// A template is hostile input: every limit is an error with a line, and nothing crashes or hangs.

#include <gmock/gmock.h>

#include "jinja_render.h"

namespace precept {
namespace {

using testing::HasSubstr;

std::string repeated(const std::string& part, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += part;
  return out;
}

TEST(JinjaLimits, OfTheSource) {
  TemplateLimits limits;
  limits.source_bytes = 10;
  EXPECT_EQ(rendered("12345678901", {}, limits), "error: t: the template has more than 10 bytes");
  EXPECT_EQ(rendered("1234567890", {}, limits), "1234567890");
}

TEST(JinjaLimits, OfNesting) {
  EXPECT_EQ(rendered("{{ " + repeated("(", 20) + "1" + repeated(")", 20) + " }}"), "1");
  EXPECT_EQ(rendered("\n{{ " + repeated("(", 1000) + "1" + repeated(")", 1000) + " }}"), "error: t:2: nested deeper than 100");
  EXPECT_EQ(rendered("{{ " + repeated("[", 100000)), "error: t:1: a tag has no end");
  EXPECT_EQ(rendered("{{ " + repeated("[", 1000) + repeated("]", 1000) + " }}"), "error: t:1: nested deeper than 100");
  EXPECT_EQ(rendered("{{ " + repeated("-", 100000) + "1 }}"), "error: t:1: nested deeper than 100");
  EXPECT_EQ(rendered(repeated("{% if true %}", 10000)), "error: t:1: nested deeper than 100");
  EXPECT_EQ(rendered("{% set " + repeated("(", 100000) + "a"), "error: t:1: a tag has no end");
  EXPECT_EQ(rendered("{% set " + repeated("(", 1000) + "a" + repeated(")", 1000) + " = 1 %}"), "error: t:1: nested deeper than 100");
}

TEST(JinjaLimits, OfChains) {
  EXPECT_EQ(rendered("{{ 1" + repeated(" + 1", 150) + " }}"), "151");
  EXPECT_EQ(rendered("{{ 1" + repeated("\n + 1", 100000) + " }}"), "error: t:201: an expression has more than 200 steps in a row");
  EXPECT_THAT(rendered("{{ x" + repeated(".y", 100000) + " }}"), HasSubstr("more than 200 steps in a row"));
  EXPECT_THAT(rendered("{{ x" + repeated("|e", 100000) + " }}"), HasSubstr("more than 200 steps in a row"));
  EXPECT_THAT(rendered("{{ " + repeated("not ", 100000) + "1 }}"), HasSubstr("more than 200 steps in a row"));
  EXPECT_THAT(rendered("{{ 1" + repeated(" if 1 else 1", 10000) + " }}"), HasSubstr("nested deeper than 100"));
  EXPECT_EQ(rendered("{{ 1" + repeated(" ~ 1", 5000) + " }}").size(), 5001u);  // one node, however long
}

TEST(JinjaLimits, OfDepth) {
  EXPECT_EQ(rendered("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}\n{{ m(0) }}"), "error: t:1: the template goes deeper than 800 levels");
  EXPECT_EQ(rendered("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}"), "error: t:1: the template goes deeper than 800 levels");
  EXPECT_EQ(rendered("{% macro m(n, x=m(n)) %}{% endmacro %}{{ m(0) }}"), "error: t:1: the template goes deeper than 800 levels");
}

TEST(JinjaLimits, OfValuesInValues) {
  const std::string deep = "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}";
  EXPECT_EQ(rendered(deep + "ok"), "ok");  // freed without recursion
  for (const char* use : {"{{ n.x }}", "{{ n.x | tojson }}", "{{ n.x == [n.x] }}", "{{ n.x < [n.x] }}", "{{ [n.x] | join }}"}) {
    EXPECT_THAT(rendered(deep + use), HasSubstr("nested deeper than 100")) << use;
  }
  EXPECT_EQ(rendered("{% set l = [] %}{{ l.append(l) }}{{ l }}"), "error: t:1: values are nested deeper than 100");
  // Two entries a level: 2^60 of them.
  EXPECT_THAT(rendered("{% set n = namespace(x=[]) %}{% for i in range(60) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | string | length }}"),
              testing::AnyOf(HasSubstr("steps"), HasSubstr("memory")));
}

TEST(JinjaLimits, OfStepsMemoryOutputAndRange) {
  TemplateLimits limits;
  limits.steps = 10000;
  EXPECT_EQ(rendered("\n{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}", {}, limits),
            "error: t:2: the template does not end within 10000 steps");
  limits = {};
  limits.memory_bytes = 100000;
  EXPECT_EQ(rendered("{{ 'a' * 100000000 }}", {}, limits), "error: t:1: the template needs more than 100000 bytes of memory");
  EXPECT_EQ(rendered("{{ 'a' * 9223372036854775807 }}", {}, limits), "error: t:1: the template needs more than 100000 bytes of memory");
  EXPECT_EQ(rendered("{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", {}, limits),
            "error: t:1: the template needs more than 100000 bytes of memory");
  EXPECT_THAT(rendered("{% set l = [1] %}{% for i in l %}{% for j in range(9999) %}{{ l.append(j) or '' }}{% endfor %}{% endfor %}", {}, limits), HasSubstr("bytes of memory"));
  limits = {};
  limits.output_bytes = 100;
  EXPECT_EQ(rendered("{% for i in range(30) %}abcd{% endfor %}", {}, limits), "error: t:1: the template writes more than 100 bytes");
  EXPECT_EQ(rendered("{% for i in range(25) %}abcd{% endfor %}", {}, limits).size(), 100u);
  limits.range = 10;
  EXPECT_EQ(rendered("{{ range(10) | length }}", {}, limits), "10");
  EXPECT_EQ(rendered("{{ range(11) | length }}", {}, limits), "error: t:1: range: more than 10 numbers");
  EXPECT_EQ(rendered("{{ range(1, 2, 0) }}", {}, limits), "error: t:1: range: the step is 0");
}

// The least number of steps within which it ends.
std::size_t steps_of(const std::string& source, const ChatInput& input) {
  std::size_t low = 0, high = TemplateLimits().steps;
  while (low < high) {
    TemplateLimits limits;
    limits.steps = low + (high - low) / 2;
    const std::string text = rendered(source, input, limits);
    if (text.find("does not end within") == std::string::npos) {
      EXPECT_EQ(text.find("error:"), std::string::npos) << text;
      high = limits.steps;
    } else {
      low = limits.steps + 1;
    }
  }
  return high;
}

// What is slow to search must not stand still: needles that nearly match, large sets to strip. A text of twice the length takes
// twice the steps, and none takes less than one for 32 bytes: the limit of steps is one of work.
TEST(JinjaLimits, SearchesEnd) {
  const auto sized = [](std::size_t bytes) {
    ChatInput input;
    input.messages = {{"user", std::string(bytes, 'a')}};
    return input;
  };
  constexpr std::size_t kBytes = 1 << 16;
  const std::string set = "{% set s = messages[0].content %}{% set n = s[:(s | length) // 2] ~ 'b' %}";
  const std::size_t begin = steps_of(set, sized(kBytes)), begin_twice = steps_of(set, sized(2 * kBytes));
  for (const char* use : {"{{ n in s }}", "{{ s.count(n) }}", "{{ s.rfind(n) }}", "{{ s.split(n) | length }}", "{{ s.replace(n, '') | length }}",
                          "{{ s.strip(n) | length }}", "{{ s | indent | length }}", "{{ s | tojson | length }}", "{{ s[::-1] | length }}"}) {
    const std::size_t once = steps_of(set + use, sized(kBytes)) - begin, twice = steps_of(set + use, sized(2 * kBytes)) - begin_twice;
    EXPECT_GE(once, kBytes / 32) << use;
    EXPECT_LE(once, 8 * kBytes) << use;
    EXPECT_NEAR(static_cast<double>(twice) / static_cast<double>(once), 2, 0.05) << use;
  }
  if (HasFailure()) return;  // what is not counted would not end
  // A needle that is found at every place, and one search after another: each counts.
  for (const char* use : {"{{ s.rfind(s[:500000]) }}", "{% for i in range(9999) %}{{ n in s }}{% endfor %}"}) {
    EXPECT_THAT(rendered(set + use, sized(1 << 20)), HasSubstr("does not end within 20000000 steps")) << use;
  }
}

}  // namespace
}  // namespace precept
