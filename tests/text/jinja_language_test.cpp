// Hand-worked cases: what Python and Jinja2 3.1 (trim_blocks, lstrip_blocks, loop controls) make of them.

#include "jinja_render.h"

namespace precept {
namespace {

TEST(JinjaNumbers, PrintAsInPython) {
  EXPECT_EQ(rendered("{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }}"),
            "5.0 3 -4 2 -2 1024 0.5");
  EXPECT_EQ(rendered("{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.5e-7 }} {{ 0.1 + 0.2 }} {{ 1 / 3 }}"),
            "1e+16 1000000000000000.0 0.0001 1e-05 1.5e-07 0.30000000000000004 0.3333333333333333");
  EXPECT_EQ(rendered("{{ true }} {{ False }} {{ none }} {{ True + 1 }} {{ 2.5 | round }} {{ 2.675 | round(2) }} {{ 7.5 // 2 }}"),
            "True False None 2 2.0 2.67 3.0");
  EXPECT_EQ(rendered("{{ 9223372036854775807 + 1 }}"), "error: t:1: a number is out of range");
  EXPECT_EQ(rendered("{{ 1 }}\n{{ 1 // 0 }}"), "error: t:2: division by zero");
  EXPECT_EQ(rendered("{{ -9223372036854775807 - 1 }} {{ (-9223372036854775807 - 1) % -1 }}"), "-9223372036854775808 0");
}

TEST(JinjaExpressions, PrecedenceAndChains) {
  EXPECT_EQ(rendered("{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' in 'abc' }} {{ 2 not in [1, 2] }}"),
            "True False True True True False");
  EXPECT_EQ(rendered("{{ 'a' ~ 1 ~ none }} {{ 2 * 3 ~ 4 }} {{ 'a' ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }} {{ -5 | abs }}"),
            "a1None 64 aB AB 5");
  EXPECT_EQ(rendered("{{ 'x' if 0 else 'y' }}{{ 'x' if 0 }} {{ not true or true }} {{ none or 'z' }} {{ '' and 1 }}|"), "y True z |");
  EXPECT_EQ(rendered("{{ 'a' 'b' }} {{ (1,) }} {{ () }} {{ {'a': [1, 'x', none]} }} {{ [1, 2] + [3] }} {{ 'ab' * 2 }}"),
            "ab (1,) () {'a': [1, 'x', None]} [1, 2, 3] abab");
  EXPECT_EQ(rendered("{{ [\"it's\", 'a\"b', '\\n\\\\'] }}"), "[\"it's\", 'a\"b', '\\n\\\\']");
}

TEST(JinjaExpressions, SubscriptsAndSlicesGoByCodePoint) {
  const std::string arguments = R"({"s": "你好😀w", "l": [3, 1, 2], "d": {"b": {"x": [7]}, "items": 5}})";
  EXPECT_EQ(with("{{ s | length }} {{ s[2] }} {{ s[-1] }} {{ s[1:3] }} {{ s[::-1] }} {{ s[9] is defined }}", arguments),
            "4 😀 w 好😀 w😀好你 False");
  EXPECT_EQ(with("{{ l[1:] }} {{ l[::-1] }} {{ l[:-1] }} {{ l[-2:] }} {{ l.0 }} {{ l[7] is defined }}", arguments),
            "[1, 2] [2, 1, 3] [3, 1] [1, 2] 3 False");
  EXPECT_EQ(with("{{ d.b.x[0] }} {{ d['b']['x'] }} {{ d.q is defined }} {{ d['items'] }} {{ d.items is callable }}", arguments),
            "7 [7] False 5 True");  // as in Jinja2, the method hides the entry
}

TEST(JinjaUndefined, IsEmptyUntilItIsUsed) {
  EXPECT_EQ(rendered("[{{ x }}] {{ x is defined }} {{ x | length }} {{ x | default('d') }} {{ x == y }} {{ 1 in x }} {% for i in x %}i{% endfor %}"),
            "[] False 0 d True False ");
  EXPECT_EQ(rendered("{{ x.y }}"), "error: t:1: \"x\" is undefined");
  EXPECT_EQ(rendered("\n{{ 'a' + x }}"), "error: t:2: \"x\" is undefined");
  EXPECT_EQ(rendered("{{ foo(1) }}"), "error: t:1: \"foo\" is undefined, and called");
  EXPECT_EQ(rendered("{{ 'a'.foo() }}"), "error: t:1: \"foo\" is undefined, and called");
  EXPECT_EQ(rendered("{{ 'a' + 1 }}"), "error: t:1: cannot compute str + int");
  EXPECT_EQ(rendered("{{ 'a' < 1 }}"), "error: t:1: cannot order a value of type str and one of type int");
}

TEST(JinjaStatements, LoopsKnowTheirPlace) {
  const std::string l = R"({"l": ["a", "b", "c"]})";
  EXPECT_EQ(with("{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}"
                 "{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('x', 'y') }};{% endfor %}", l),
            "1032TrueFalse3bx;2121FalseFalse3acy;3210FalseTrue3bx;");
  EXPECT_EQ(with("{% for x in l if x != 'b' %}{{ loop.index }}{{ x }}{{ loop.last }}{% else %}no{% endfor %}", l), "1aFalse2cTrue");
  EXPECT_EQ(with("{% for x in l if x == 'z' %}x{% else %}none{% endfor %}", l), "none");
  EXPECT_EQ(rendered("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}"),
            "023");
  EXPECT_EQ(rendered("{% for a, b in [[1, 2], (3, 4)] %}{{ a + b }} {% endfor %}{% for k, v in {'x': 1}.items() %}{{ k }}{{ v }}{% endfor %}"),
            "3 7 x1");
  EXPECT_EQ(rendered("{% for a, b in [[1, 2, 3]] %}{% endfor %}"), "error: t:1: a value of 3 parts is unpacked into 2 names");
  EXPECT_EQ(rendered("{% for i in 5 %}{% endfor %}"), "error: t:1: a value of type int has no items");
  // The condition sees what the body did, because items are taken one by one.
  EXPECT_EQ(rendered("{% set n = namespace(stop=false) %}{% for i in range(5) if not n.stop %}{{ i }}{% set n.stop = i == 1 %}{% endfor %}"), "01");
}

TEST(JinjaStatements, ScopesAreThoseOfJinja) {
  EXPECT_EQ(rendered("{% set x = 1 %}{% for i in [7, 8] %}{{ x }}{% set x = i %}{{ x }} {% endfor %}{{ x }}"), "17 18 1");
  EXPECT_EQ(rendered("{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}"), "2");
  EXPECT_EQ(rendered("{% set n = namespace(x=1) %}{% for i in range(4) %}{% set n.x = n.x + i %}{% endfor %}{{ n.x }}"), "7");
  EXPECT_EQ(rendered("{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}"), "3False");
  EXPECT_EQ(rendered("{% set a, b = 1, 2 %}{{ b }}{{ a }}"), "21");
  EXPECT_EQ(rendered("{% set d = {} %}{% set d.x = 1 %}"), "error: t:1: \"d\" is no namespace: its attribute \"x\" cannot be set");
}

TEST(JinjaStatements, MacrosCallersAndBlocks) {
  EXPECT_EQ(rendered("{% macro m(a, b=2, c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c=5) }}{{ m(b=3, a=9) }}"),
            "[121][125][939]");
  EXPECT_EQ(rendered("{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}"), "1(2,){'x': 3}");
  EXPECT_EQ(rendered("{% macro w() %}<{{ caller('x') }}>{% endmacro %}{% call(u) w() %}in {{ u }}{% endcall %}"), "<in x>");
  EXPECT_EQ(rendered("{% macro f(x) %}{{ x }}{{ f(x - 1) if x > 0 }}{% endmacro %}{{ f(3) }}"), "3210");
  EXPECT_EQ(rendered("{% set b | upper | trim %} hi {% endset %}[{{ b }}]{% filter upper %}abc{% endfilter %}"), "[HI]ABC");
  EXPECT_EQ(rendered("{% generation %}a{% set x = 1 %}{% endgeneration %}{{ x is defined }}"), "aFalse");
  EXPECT_EQ(rendered("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}"), "error: t:1: macro \"m\": 2 arguments given, at most 1 taken");
  EXPECT_EQ(rendered("{% macro m(a) %}{% endmacro %}\n{{ m(z=2) }}"), "error: t:2: macro \"m\" takes no argument called \"z\"");
}

TEST(JinjaWhiteSpace, IsTrimmedAsTransformersDoes) {
  EXPECT_EQ(rendered("a\n{% if true %}\nb\n{% endif %}\nc\n"), "a\nb\nc");
  EXPECT_EQ(rendered("  {% if true %}\n  x\n  {% endif %}\n  y"), "  x\n  y");
  EXPECT_EQ(rendered("a\n  {%+ if true %}\nb{% endif +%}\nc"), "a\n  b\nc");
  EXPECT_EQ(rendered("a  {%- if true -%}  b  {%- endif -%}  c {{- ' d ' -}}  e"), "abc d e");
  EXPECT_EQ(rendered("  {{ 'x' }}\n\n{{ 'y' }}\n"), "  x\n\ny");
  EXPECT_EQ(rendered("{# c #}\na\n  {# c #}\nb {# c #} d"), "a\nb  d");
  EXPECT_EQ(rendered("{% raw %}\n {{ x }} {% endraw %}\nb"), "\n {{ x }} b");
  EXPECT_EQ(rendered("a\r\nb\rc"), "a\nb\nc");
}

TEST(JinjaErrors, NameTheLine) {
  EXPECT_EQ(rendered("a\n{% nosuch %}"), "error: t:2: unknown tag \"nosuch\"");
  EXPECT_EQ(rendered("{% include 'x' %}"), "error: t:1: the tag \"include\" is not supported");
  EXPECT_EQ(rendered("\n\n{{ x | nosuch }}"), "error: t:3: unknown filter \"nosuch\"");
  EXPECT_EQ(rendered("{{ x is nosuch }}"), "error: t:1: unknown test \"nosuch\"");
  EXPECT_EQ(rendered("{{ [1] | map('nosuch') | list }}"), "error: t:1: map: unknown filter \"nosuch\"");
  EXPECT_EQ(rendered("{% for i in [1] recursive %}{% endfor %}"), "error: t:1: recursive loops are not supported");
  EXPECT_EQ(rendered("{% if true %}\nx"), "error: t:2: the template ends inside a block");
  EXPECT_EQ(rendered("x\n{{ 1 +"), "error: t:2: a tag has no end");
  EXPECT_EQ(rendered("{{ [1, 2 }}"), "error: t:1: unexpected \"}\"");
  EXPECT_EQ(rendered("{{ 'a }}"), "error: t:1: a text has no closing quote");
  EXPECT_EQ(rendered("{# a"), "error: t:1: a comment has no end");
  EXPECT_EQ(rendered("\n{% raw %} a"), "error: t:2: a raw block has no end");
  EXPECT_EQ(rendered("{{ 1 $ 2 }}"), "error: t:1: unexpected character \"$\"");
  EXPECT_EQ(rendered("{% break %}"), "error: t:1: break or continue outside of a loop");
  EXPECT_EQ(rendered("{% endif %}"), "error: t:1: unknown tag \"endif\"");
  EXPECT_EQ(rendered("{{ }}"), "error: t:1: expected an expression, found \"}}\"");
  EXPECT_EQ(rendered("\xFF"), "error: t:1: the template is not UTF-8");
  EXPECT_EQ(rendered("{{ raise_exception('no ' ~ 1 ~ '\\nway') }}"), "error: t:1: the template refuses the conversation: no 1 way");
  EXPECT_EQ(rendered("{{ 'a' | trim(chars='a', x=1) }}"), "error: t:1: trim: no argument is called \"x\"");
  EXPECT_EQ(rendered("{{ 'a'.replace('b') }}"), "error: t:1: replace: the argument new is missing");
  EXPECT_EQ(rendered("{{ [1] | map('string') }}"), "error: t:1: a generator is printed");
}

}  // namespace
}  // namespace precept
