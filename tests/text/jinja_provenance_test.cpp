// Which bytes of what is rendered came from input: shown in ‹ and ›.

#include "jinja_render.h"

namespace precept {
namespace {

ChatInput one(const std::string& content) {
  ChatInput input;
  input.messages = {{"user", content}};
  input.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  return input;
}

// `expression` sees the content as c.
std::string of(const std::string& expression, const std::string& content) {
  return marked("{% set c = messages[0].content %}{{ " + expression + " }}", one(content));
}

TEST(Provenance, TemplateTextAndSpecialTokensAreNotInput) {
  EXPECT_EQ(marked("{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}{{ 'x' ~ 1 }}", one("</s>hi")),
            "<s><|‹user›|>‹</s>hi›</s>x1");
  ChatInput known = one("user");
  known.known_roles = {"user", "system"};
  EXPECT_EQ(marked("<|{{ messages[0].role }}|>{{ messages[0].content }}", known), "<|user|>‹user›");
  known.messages_json = R"([{"role": "user", "content": "user"}, {"role": "root", "content": ""}])";
  EXPECT_EQ(marked("{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}", known), "user ‹user› ‹root›  ");
}

TEST(Provenance, PartsKeepTheirMarks) {
  EXPECT_EQ(of("('<' + c + '>')[1:]", "hi"), "‹hi›>");
  EXPECT_EQ(of("('<' + c + '>')[::-1]", "hi"), ">‹ih›<");
  EXPECT_EQ(of("(' ' + c + ' x ') | trim", " hi "), "‹hi › x");
  EXPECT_EQ(of("(' ' + c).strip() + c.lstrip()", " hi"), "‹hihi›");
  EXPECT_EQ(of("('a,' + c + ',b').split(',') | join('|')", "x,y"), "a|‹x›|‹y›|b");
  EXPECT_EQ(of("c.split()[-1] ~ c[0] ~ c | first", "a b"), "‹baa›");
  EXPECT_EQ(of("'a' ~ c ~ 'b'", ""), "ab");
}

TEST(Provenance, ReplacedInputStaysInput) {
  EXPECT_EQ(of("('a' + c).replace('a', '</s>')", "a"), "</s>‹</s>›");
  EXPECT_EQ(of("'a-b' | replace('-', c)", "</s>"), "a‹</s>›b");
  EXPECT_EQ(of("c.replace('', '.')", "ab"), "‹.a.b.›");
  EXPECT_EQ(of("c | indent(1, true)", "a\nb"), " ‹a\n b›");
}

TEST(Provenance, WhatIsComputedFromInputIsInput) {
  EXPECT_EQ(of("c | length ~ ',' ~ c | int ~ ',' ~ (c | int + 1) ~ ',' ~ (c == '12')", "12"), "‹2›,‹12›,‹13›,‹True›");
  EXPECT_EQ(of("('<' ~ c) | upper ~ c | title ~ c.capitalize()", "ß"), "<‹SSSSSs›");
  EXPECT_EQ(of("('<' ~ c) | e", "<"), "&lt;‹&lt;›");
  EXPECT_EQ(of("'%s|%s' % (c, 1) ~ '{0}-'.format(c) ~ c | reverse", "ab"), "‹ab›|1‹ab›-‹ba›");
  EXPECT_EQ(of("c % 'x'", "%s!"), "‹x!›");
  EXPECT_EQ(of("'a' if c else 'b'", "x"), "a");  // the template's own words
  EXPECT_EQ(of("[c, 'x'] ~ {'k': c}", "y"), "[‹'y'›, 'x']{'k': ‹'y'›}");
  EXPECT_EQ(marked("{% for m in messages %}{{ loop.index }}{{ loop.length }}{% endfor %}{{ messages | length }}", one("")), "11‹1›");
}

TEST(Provenance, JsonFromInputIsInputThroughout) {
  ChatInput input = one("");
  input.tools_json = R"([{"name": "f", "n": [1, true, null], "d": "</s>"}])";
  input.arguments_json = R"({"flag": true, "text": "t"})";
  EXPECT_EQ(marked("T{{ tools | tojson }}T", input), "T‹[{\"name\": \"f\", \"n\": [1, true, null], \"d\": \"</s>\"}]›T");
  EXPECT_EQ(marked("{{ tools[0].n | tojson(indent=1) }}|{{ {'a': tools[0].d} | tojson }}", input), "‹[\n 1,\n true,\n null\n]›|{\"a\": ‹\"</s>\"›}");
  EXPECT_EQ(marked("{{ tools }}{{ flag }}{{ text }}", input), "‹[{'name': 'f', 'n': [1, True, None], 'd': '</s>'}]Truet›");
}

TEST(Provenance, GoesThroughMacrosBlocksAndFilters) {
  EXPECT_EQ(marked("{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(messages[0].content) }}", one("hi")), "[‹hi›]");
  EXPECT_EQ(marked("{% set b %}<{{ messages[0].content }}>{% endset %}{{ b | upper }}", one("hi")), "<‹HI›>");
  EXPECT_EQ(marked("{% filter trim %} {{ messages[0].content }}x {% endfilter %}", one("hi")), "‹hi›x");
  EXPECT_EQ(marked("{% set n = namespace(x='') %}{% for m in messages %}{% set n.x = n.x + '<' + m.content %}{% endfor %}{{ n.x }}", one("hi")), "<‹hi›");
  EXPECT_EQ(marked("{% macro w() %}{{ caller() }}{% endmacro %}{% call w() %}a{{ messages[0].content }}{% endcall %}", one("hi")), "a‹hi›");
  EXPECT_EQ(marked("{{ dict(**messages[0]) }}{% macro m() %}{{ kwargs | list | join }}{% endmacro %}{{ m(**messages[0]) }}", one("hi")),
            "{‹'role'›: ‹'user'›, ‹'content'›: ‹'hi'›}‹rolecontent›");
  EXPECT_EQ(marked("{% for c in messages[0].content %}{{ c }}.{% endfor %}", one("你b")), "‹你›.‹b›.");
}

}  // namespace
}  // namespace precept
