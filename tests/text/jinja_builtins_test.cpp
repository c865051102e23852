// Filters, tests, methods and functions; each expectation is what Python with Jinja2 3.1.6 prints.

#include <gmock/gmock.h>

#include "jinja_render.h"

namespace precept {
namespace {

TEST(JinjaMethods, OfText) {
  EXPECT_EQ(rendered("{{ ' a b '.strip() }}|{{ 'xaxx'.strip('x') }}|{{ ' a '.lstrip() }}|{{ 'ab\\n\\n'.rstrip('\\n') }}|"), "a b|a|a |ab|");
  EXPECT_EQ(rendered("{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'a b  '.split(none, 1) }}"),
            "['a', 'b', '', 'c'] ['a', 'b'] ['a', 'b c'] ['a,b', 'c'] ['a', 'b  ']");
  EXPECT_EQ(rendered("{{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'é你c'.find('c') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'ab'.replace('', '-') }}"),
            "True True 2 a-bX -a-b-");
  EXPECT_EQ(rendered("{{ 'straße é'.upper() }} {{ 'ÀB'.lower() }} {{ \"they're\".title() }} {{ 'aBC'.capitalize() }} {{ \"they're x-y\" | title }}"),
            "STRASSE É àb They'Re Abc They're X-Y");
  EXPECT_EQ(rendered("{{ '{} {1}{x}'.format(1, 2, x=3) if false else '{0}{1}{x}'.format(1, 2, x=3) }} {{ '%s-%d %.2f' % ('a', 5, 0.5) }} {{ ','.join(['a', 'b']) }}"),
            "123 a-5 0.50 a,b");
  EXPECT_EQ(rendered("{{ 'a=b=c'.partition('=') }} {{ 'abc'.removeprefix('a') }} {{ '-7'.zfill(4) }} {{ 'abc'.center(6) }}| {{ '12'.isdigit() }} {{ 'a\\nb'.splitlines() }}"),
            "('a', '=', 'b=c') bc -007  abc  | True ['a', 'b']");
}

TEST(JinjaMethods, OfDictsAndLists) {
  EXPECT_EQ(rendered("{% set d = {'b': 1, 'a': 2} %}{{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 0) }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() }}"),
            "1 None 0 ['b', 'a'] [1, 2] dict_items([('b', 1), ('a', 2)])");
  EXPECT_EQ(rendered("{% set l = [] %}{% for i in [1, 2] %}{{ l.append(i) or '' }}{% endfor %}{{ l }}"), "[1, 2]");
}

TEST(JinjaFilters, JsonIsThatOfTransformers) {
  const std::string d = R"({"d": {"b": [1, 2.5, true, null], "a": {}, "é": "<你\"\n\u001b>"}})";
  EXPECT_EQ(with("{{ d | tojson }}", d), R"({"b": [1, 2.5, true, null], "a": {}, "é": "<你\"\n\u001b>"})");
  EXPECT_EQ(with("{{ d | tojson(indent=2) }}", d),
            "{\n  \"b\": [\n    1,\n    2.5,\n    true,\n    null\n  ],\n  \"a\": {},\n  \"é\": \"<你\\\"\\n\\u001b>\"\n}");
  EXPECT_EQ(with("{{ d | tojson(ensure_ascii=true, sort_keys=true, separators=(',', ':')) }}", d),
            R"({"a":{},"b":[1,2.5,true,null],"\u00e9":"<\u4f60\"\n\u001b>"})");
  EXPECT_EQ(rendered("{{ '😀' | tojson(true) }} {{ 1.0 | tojson }} {{ {1: 2} | tojson }} {{ (1, [ ]) | tojson }}"), "\"\\ud83d\\ude00\" 1.0 {\"1\": 2} [1, []]");
  EXPECT_EQ(rendered("{{ x | tojson }}"), "error: t:1: tojson: JSON has nothing for a value of type Undefined");
}

TEST(JinjaFilters, OfLists) {
  const std::string o = R"({"o": [{"n": "x", "v": 2}, {"n": "Y", "v": 1}, {"n": "x", "v": 3}], "l": [3, 1, 2]})";
  EXPECT_EQ(with("{{ o | map(attribute='v') | list }} {{ o | map(attribute='q', default='-') | join }} {{ o | selectattr('n', 'equalto', 'x') | map(attribute='v') | sum }} {{ o | rejectattr('v', 'gt', 1) | list | length }}", o),
            "[2, 1, 3] --- 5 1");
  EXPECT_EQ(with("{{ l | sort }} {{ l | sort(reverse=true) }} {{ o | sort(attribute='v') | map(attribute='n') | join }} {{ ['b', 'A'] | sort }} {{ l | min }} {{ l | max }} {{ l | sum }}", o),
            "[1, 2, 3] [3, 2, 1] Yxx ['A', 'b'] 1 3 6");
  EXPECT_EQ(with("{{ l | first }} {{ l | last }} {{ l | reverse | list }} {{ 'abc' | reverse }} {{ ['a', 'A', 'b'] | unique | list }} {{ [1, 2, 3] | batch(2, 0) | list }} {{ l | select('odd') | list }} {{ [0, 1] | select | list }}", o),
            "3 2 [2, 1, 3] cba ['a', 'b'] [[1, 2], [3, 0]] [3, 1] [1]");
  EXPECT_EQ(with("{{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | items | list }} {{ l | join(', ') }} {{ o | join(',', attribute='n') }} {{ 'ab' | list }}", o),
            "[('a', 2), ('b', 1)] [('b', 1), ('a', 2)] 3, 1, 2 x,Y,x ['a', 'b']");
  // Generators as in Python: always true, without a length, and empty the second time.
  EXPECT_EQ(with("{{ 'T' if o | selectattr('n', 'eq', 'zz') else 'F' }}{{ 'T' if o | selectattr('n', 'eq', 'zz') | list else 'F' }}", o), "TF");
  EXPECT_EQ(with("{% set g = l | map('string') %}{{ g | list }}{{ g | list }}", o), "['3', '1', '2'][]");
  EXPECT_EQ(with("{{ l | map('string') | length }}", o), "error: t:1: a value of type generator has no length");
}

TEST(JinjaFilters, OfTextAndNumbers) {
  EXPECT_EQ(rendered("{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ 'a\\n\\nb' | indent('>', blank=true) }}"), "a\n    b\n\n    c|  a\n  b|a\n>\n>b");
  EXPECT_EQ(rendered("{{ '<a href=\"x\">&\\'' | e }} {{ '<b>' | safe }} {{ '  x ' | trim }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 5 | string ~ 1 }} {{ 'a b' | wordcount }}"),
            "&lt;a href=&#34;x&#34;&gt;&amp;&#39; <b> x bba 51 2");
  EXPECT_EQ(rendered("{{ '12' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ '1.9' | int }} {{ -3.9 | int }} {{ '0x1A' | int(base=16) }} {{ '2.5' | float }} {{ none | int }}"),
            "12 0 5 1 -3 26 2.5 0");
  EXPECT_EQ(rendered("{{ 2.1 | round(0, 'ceil') }} {{ 2.567 | round(2) }} {{ 42 | round }} {{ '' | default('x') }}|{{ '' | default('x', true) }} {{ none | d('x') }}"),
            "3.0 2.57 42 |x None");
}

TEST(JinjaTests, AreThoseOfJinja) {
  EXPECT_EQ(rendered("{{ 7 is odd }} {{ 7 is even }} {{ 7 is divisibleby 7 }} {{ true is number }} {{ true is integer }} {{ 1.0 is float }} {{ 0 is false }} {{ false is false }} {{ none is none }}"),
            "True False True True False True False True True");
  EXPECT_EQ(rendered("{{ 'a' is string }} {{ {} is mapping }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ {} is sequence }} {{ range is callable }} {{ 1 is callable }} {{ x is undefined }}"),
            "True True True False True True False True");
  EXPECT_EQ(rendered("{{ 1 is eq 1 }} {{ 1 is ne(1) }} {{ 1 is lt 2 }} {{ 1 is ge 2 }} {{ 1 is in [1] }} {{ 1 is not in [1] }} {{ 'a' is lower }} {{ 'upper' is filter }} {{ none is sameas none }}"),
            "True False True False True False True True True");
}

TEST(JinjaFunctions, RangeDictAndTime) {
  EXPECT_EQ(rendered("{{ range(3) | list }} {{ range(5, 0, -2) | list }} {{ dict(a=1) }} {{ dict({'x': 1}, y=2) }} {{ 2 in range(3) }}"),
            "[0, 1, 2] [5, 3, 1] {'a': 1} {'x': 1, 'y': 2} True");
  ChatInput input;
  EXPECT_EQ(rendered("{{ strftime_now is defined }}", input), "False");
  EXPECT_EQ(rendered("{{ strftime_now('%d') }}", input), "error: t:1: \"strftime_now\" is undefined: no time was given");
  input.unasked_now = std::tm{};
  input.unasked_now->tm_year = 124;
  input.unasked_now->tm_mday = 9;
  EXPECT_EQ(rendered("{{ strftime_now is defined }} {{ strftime_now('%-d %B %Y') }}", input), "False 9 January 2024");
  input.now = std::tm{};
  input.now->tm_year = 125;
  input.now->tm_mon = 6;
  input.now->tm_mday = 4;
  input.now->tm_wday = 5;
  input.now->tm_yday = 184;
  input.now->tm_hour = 13;
  EXPECT_EQ(rendered("{{ strftime_now('%d %b %Y|%A %B %-d|%H:%M %I %p|%j|%F') }}", input), "04 Jul 2025|Friday July 4|13:00 01 PM|185|2025-07-04");
  EXPECT_EQ(rendered("{{ strftime_now('%Q') }}", input), "error: t:1: strftime_now: unknown directive in \"%Q\"");
}

TEST(JinjaFilters, TheHintOfAnUnknownOneListsAll) {
  const auto parsed = ChatTemplate::parse("{{ x | nosuch }}", "t");
  ASSERT_FALSE(parsed.has_value());
  for (const char* name : {"tojson", "selectattr", "batch"}) EXPECT_THAT(parsed.error().hint, testing::HasSubstr(name));
}

}  // namespace
}  // namespace precept
