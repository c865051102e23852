#include "precept/constitution/toml_guard.h"

#include <gtest/gtest.h>

#include "tests/constitution/findings.h"

namespace precept {
namespace {

std::string refusal(std::string_view text) {
  const auto guarded = guard_toml(text);
  if (guarded) return "accepted";
  return std::to_string(guarded.error().line) + " " + guarded.error().what;
}

std::string utf8(unsigned c) {
  std::string out;
  if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      out += static_cast<char>(0xE0 | c >> 12);
    } else {
      out += static_cast<char>(0xF0 | c >> 18);
      out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    }
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
  }
  out += static_cast<char>(0x80 | (c & 0x3F));
  return out;
}

TEST(TomlGuard, WellFormedTextStaysAsItIs) {
  for (const std::string text : {
           "", "\n\n", "# only a comment: \303\251", "a = 1", "a=1\r\nb = 2\r\n", "\t a . b.'c' = \"x\" # why\n",
           "[a]\n[ a.b ]\n[[ c . \"d\" ]] # x\n", "'\303\251' = '\303\251'\n", "\"a\\\"b\" = \"\\\\\"\n", "a = ''\nb = \"\"\n",
           "a = [ 1, 2.5, -3, +1e9, 1_000.5_0e-1_0, -inf, 1979-05-27T07:32:00Z, 07:32:00.123, 2000-01-01t00:00:00-01:30, nan ]\n",
           "a = [\n  # one\n  'x', # two\n\n  [ { b = 1, c.d = [ ] }, {} ]\r\n]\n",
           "a = \"\"\"\nx\"\" y\" \\\n   z\\\"\"\"\"\nb = 1\n", "a = \"\"\"\"\"x\"\"\"\"\"\n", "a = '''\\''''\nb = '''\n'''''\n",
           "a = \"\"\"\303\251\n\303\251\\n\303\251\"\"\"\n"}) {
    const auto guarded = guard_toml(text);
    ASSERT_TRUE(guarded.has_value()) << text << guarded.error().what;
    EXPECT_EQ(*guarded, text);
  }
}

TEST(TomlGuard, RefusesWhatIsMalformedWithItsLine) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\n\303\251 = 1", "2 not TOML: expected a key, found character U+00E9 (column 1)"},
      {"a = \342\200\234x\342\200\235", "1 not TOML: expected a value, found character U+201C (column 5)"},
      {"a\357\274\235 1", "1 not TOML: expected '=', found character U+FF1D (column 2)"},
      {"'\303\251' \303\251", "1 not TOML: expected '=', found character U+00E9 (column 5)"},
      {"a = 1 \303\251", "1 not TOML: expected the end of the line, found character U+00E9 (column 7)"},
      {"a = 1\"\303\251\"", "1 not TOML: expected the end of the line, found '\"' (column 6)"},
      {"a = 2000-01-01 1\n", "1 not TOML: expected the end of the line, found '1' (column 16)"},
      {"[=]\n", "1 not TOML: expected a key, found '=' (column 2)"},
      {"[[a]\n", "1 not TOML: expected ']', found the end of the line (column 5)"},
      {"[ [a]]\n", "1 not TOML: expected a key, found '[' (column 3)"},
      {"[a\302\240]\n", "1 not TOML: expected ']', found character U+00A0 (column 3)"},
      {"a = [}", "1 not TOML: expected a value, found '}' (column 6)"},
      {"a = [,]", "1 not TOML: expected a value, found ',' (column 6)"},
      {"a = [1 2]", "1 not TOML: expected ',' or ']', found '2' (column 8)"},
      {"a = [\n\n#\n", "4 not TOML: expected a value, found the end of the file (column 1)"},
      {"a = {b = 1,}", "1 not TOML: expected a key, found '}' (column 12)"},
      {"a = {b = 1\n}", "1 not TOML: expected ',' or '}', found the end of the line (column 11)"},
      {"a =\r\n", "1 not TOML: expected a value, found the end of the line (column 4)"},
      {"a = 1\rb = 2", "1 not TOML: expected the end of the line, found character U+000D (column 6)"},
      {"a. = 1", "1 not TOML: expected a key, found '=' (column 4)"},
      {"a b = 1", "1 not TOML: expected '=', found 'b' (column 3)"},
      {"\"\"\"a\"\"\" = 1", "1 not TOML: a key in three quotes (column 1)"},
      {"a = \"x\\\"\n\"", "1 not TOML: expected closing \", found the end of the line (column 9)"},
      {"a = 'x", "1 not TOML: expected closing ', found the end of the file (column 7)"},
      {"\na = \"\"\"x\n\n", "2 not TOML: text in three quotes is never closed (column 5)"},
      {"a = \"\"\"x\n\\\303\251\"\"\"", "2 not TOML: a backslash before a character that needs none (column 2)"},
      {"a = [\ntrue, tru]", "2 not TOML: value \"tru\" without quotes (column 7)"},
      {"a = " + std::string(65, '1'), "1 not TOML: value \"" + std::string(60, '1') + "...\" without quotes (column 5)"},
      {"a = " + std::string(65, '['), "1 nested too deeply"},
      {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r = 1", "1 nested too deeply"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(refusal(text), expected) << text;
}

TEST(TomlGuard, RefusesUnquotedValuesThatAreNothing) {
  for (const std::string value : {
           "True", "x", "_", "+", "-_1", "1_", "_1", "1__0", ".5", "5.", "1.e5", "1e", "1e+", "0x1F", "0b1", "1.2.3", "+true",
           "1979-05", "1979-05-27T", "1979-05-27Tw9-0", "1979-05-27T07:32", "1979-05-27T07:32:00.", "1979-05-27T07:32:00+1",
           "1979-05-27T07:32:00ZZ", "07:32", "07:3a:00", "+1979-05-27", "1:2", "-", "--1", "e5", "infinity"}) {
    EXPECT_EQ(refusal("a = " + value), "1 not TOML: value \"" + value + "\" without quotes (column 5)");
    EXPECT_NE(refusal("a = " + value + "\"x\""), "accepted");
  }
}

TEST(TomlGuard, BoundsTheNumberOfTables) {
  std::string headers, dotted;
  for (int i = 0; i < 30000; ++i) {
    headers += "[a" + std::to_string(i) + "]\n";
    dotted += "a" + std::to_string(i) + ".b = 1\n";
  }
  EXPECT_EQ(refusal(headers + headers), "accepted");
  EXPECT_EQ(refusal(headers + headers + "[b]"), "60001 more than 60000 tables and dotted keys");
  EXPECT_EQ(refusal(dotted + dotted + "a = {b.c = 1}"), "60001 more than 60000 tables and dotted keys");
}

// Every code point that toml++ stumbles over, and their neighbours, wherever it would look at them.
TEST(TomlGuard, NoCharacterReachesTheParserWhereItLooksForWhiteSpace) {
  std::vector<unsigned> points = {0x200B, 0x202F, 0x2060, 0x3000, 0x3001, 0xFF1D, 0xFFFD, 0x10000, 0x1F600, 0x10FFFF};
  for (unsigned c = 0x80; c < 0x4A0; ++c) points.push_back(c);
  for (unsigned c = 0x2C50; c < 0x3060; c += 7) points.push_back(c);
  for (unsigned c = 0xFB20; c < 0xFF00; c += 7) points.push_back(c);
  const std::string tail = "\n[[principle]]\nid = 'a'\nwhy = 'w'\nsource = 's'\ntext = ";
  for (const unsigned point : points) {
    const std::string c = utf8(point);
    for (const std::string& bad : {c, "a" + c + " = 1", "a = " + c, "a = 1" + c, "a = 'x'" + c, "a = \"\"" + c, "[a" + c + "]",
                                   "[ " + c, "a = [" + c, "a = 2000-01-01 " + c, "a = t" + c, "a = {b" + c,
                                   "a = \"\"\"\\" + c + "\"\"\"", "a = \"\"\"\\ " + c + "\"\"\""}) {
      const Parsed parsed = parse_bytes(bad, "a.toml");
      ASSERT_FALSE(parsed.whole) << bad;
      ASSERT_EQ(parsed.findings.at(0).what.rfind("not TOML: ", 0), 0U) << bad;
    }
    // A continued line may begin with anything, and keeps it: only blanks and tabs are white space in TOML.
    const Parsed parsed = parse_bytes("constitution.name = 'n'" + tail + "\"\"\"\\\n \t" + c + "b\\\r\n" + c + c + "\"\"\"\n", "a.toml");
    ASSERT_EQ(text_of(parsed.findings), "") << c;
    ASSERT_EQ(parsed.constitution.principles.at(0).text, c + "b" + c + c);
  }
}

TEST(TomlGuard, AContinuedLineKeepsItsLineNumbers) {
  EXPECT_EQ(*guard_toml("a = \"\"\"\\\n\n  \303\251t\303\251\\\n\360\237\230\200\"\"\"\nb"
                        " = 1"),
            "a = \"\"\"\\\n\n  \\u00E9t\303\251\\\n\\U0001F600\"\"\"\nb = 1");
}

}  // namespace
}  // namespace precept
