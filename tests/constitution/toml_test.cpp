#include <gtest/gtest.h>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "tests/constitution/findings.h"

namespace precept {
namespace {

const std::string kGood = R"([constitution]
name = "Small"
version = "1.0.0"
language = "en"
license = "CC0-1.0"
priorities = ["safety", "ethics"]

[[principle]]
id = "no-harm"
text = "Do no harm."
why = "Harm is bad."
priority = "safety"
hard = true
applies_to = "everything"
source = { name = "UDHR", article = "3", url = "https://example.org" }
critique = "c"
revision = "r"
preference = "p"

[[principle]]
id = "kind"
text = """
Be kind."""
why = "People matter."
priority = "ethics"
source = "common sense"

[templates]
judge = "{conversation} {reply}\n{principle} {not a placeholder} {}"
)";

// A file with one principle and `line` as the last line of its table, which is line 6.
std::string with(const std::string& line) {
  return "[constitution]\nname = \"x\"\n[[principle]]\nid = \"a\"\ntext = \"Be kind.\"\n" + line +
         (line.rfind("why", 0) == 0 ? "" : "\nwhy = \"w\"") + (line.rfind("source", 0) == 0 ? "\n" : "\nsource = \"s\"\n");
}

TEST(ConstitutionToml, ReadsEveryField) {
  const Parsed parsed = parse_bytes(kGood, "a.toml");
  EXPECT_EQ(text_of(parsed.findings), "");
  const Constitution& c = parsed.constitution;
  EXPECT_EQ(c.name, "Small");
  EXPECT_EQ(c.version, "1.0.0");
  EXPECT_EQ(c.language, "en");
  EXPECT_EQ(c.license, "CC0-1.0");
  EXPECT_EQ(c.priorities, (std::vector<std::string>{"safety", "ethics"}));
  EXPECT_EQ(c.digest, sha256(kGood));
  EXPECT_EQ(c.file, "a.toml");
  ASSERT_EQ(c.principles.size(), 2u);
  const Principle& p = c.principles[0];
  EXPECT_EQ(p.line, 8);
  EXPECT_EQ(p.id + p.text + p.why + p.priority + p.applies_to, "no-harmDo no harm.Harm is bad.safetyeverything");
  EXPECT_EQ(p.critique + p.revision + p.preference, "crp");
  EXPECT_EQ(p.source.name + p.source.article + p.source.url, "UDHR3https://example.org");
  EXPECT_TRUE(p.hard);
  EXPECT_EQ(c.principles[1].text, "Be kind.");
  EXPECT_EQ(c.principles[1].source.name, "common sense");
  EXPECT_FALSE(c.principles[1].hard);
  EXPECT_EQ(c.templates.size(), 1u);
  EXPECT_EQ(c.find("kind"), &c.principles[1]);
  EXPECT_EQ(c.find("unkind"), nullptr);
}

TEST(ConstitutionToml, ByteOrderMarkAndCrLfAreFine) {
  std::string crlf = "\xEF\xBB\xBF";
  for (const char c : kGood) {
    if (c == '\n') crlf += '\r';
    crlf += c;
  }
  const Parsed parsed = parse_bytes(crlf, "a.TOML");
  EXPECT_EQ(text_of(parsed.findings), "");
  EXPECT_EQ(parsed.constitution.principles.at(1).line, 20);
}

TEST(ConstitutionToml, ChineseIsTextLikeAnyOther) {
  const Parsed parsed = parse_bytes(
      "[constitution]\nname = \"宪章\"\npriorities = [\"安全\"]\n[[principle]]\nid = \"no-harm\"\n"
      "text = \"不伤害任何人。\"\nwhy = \"伤害无法挽回。\"\npriority = \"安全\"\nsource = \"《世界人权宣言》\"\n", "z.toml");
  EXPECT_EQ(text_of(parsed.findings), "");
  EXPECT_EQ(parsed.constitution.principles.at(0).text, "不伤害任何人。");
}

TEST(ConstitutionToml, EveryFindingOfAFileIsReportedAtOnce) {
  EXPECT_EQ(findings_of(R"([constitution]
name = 3
priorites = ["safety"]
priorities = ["safety", "ethics", "safety", ""]

[[principle]]
id = "a"
text = "Be kind."
prioritty = "safety"
hard = "yes"

[[principle]]
id = "a"
text = ""
why = "w"
priority = "ethik"
source = { nme = "x", article = "1" }
applies_to = ""

[[principle]]
text = "be  KIND."
id = "Not Kebab"
priority = "ethics"
hard = true
revision = "r"

[template]
x = 1
)"),
            R"(2 error: name must be a string, found a number (put the text in quotes)
3 error: unknown key "priorites" in [constitution] (did you mean "priorities"?)
4 error: tier "safety" is in priorities twice (remove one of them)
4 error: every entry of priorities must be a non-empty string (name the tier)
6 warning: principle "a" gives no reason (add why = "...": explained rules generalise better)
6 warning: principle "a" names no source (add source = { name = "...", article = "..." })
6 error: no priority in principle "a" (known: safety, ethics)
9 error: unknown key "prioritty" in principle "a" (did you mean "priority"?)
10 error: hard must be true or false, found a string (hard = true)
12 warning: principle "a" names no source (add source = { name = "...", article = "..." })
12 error: id "a" is already that of the principle in line 6 (give each principle its own id)
14 error: text is empty (fill it in or remove the line)
16 error: priority "ethik" is not one of priorities (did you mean "ethics"?)
17 error: unknown key "nme" in source (did you mean "name"?)
17 error: source has an article but no name (add name = "...")
18 error: applies_to is empty (fill it in or remove the line)
20 error: id "Not Kebab" is not in kebab-case (write "not-kebab")
20 warning: principle "Not Kebab" gives no reason (add why = "...": explained rules generalise better)
20 warning: principle "Not Kebab" names no source (add source = { name = "...", article = "..." })
20 warning: principle "Not Kebab" words its revision but not its critique (add critique = "..." so that both ask for the same thing)
20 error: principle "Not Kebab" is hard but in the lowest tier "ethics" (nothing outweighs a hard constraint: raise its priority or remove hard)
20 error: principle "Not Kebab" has the same text as the principle in line 6 (remove one of them)
27 error: unknown key "template" (did you mean "templates"?)
)");
}

TEST(ConstitutionToml, OneBadLineEach) {
  struct Case {
    std::string line, finding;
  };
  const Case cases[] = {
      {"txt = \"x\"", "6 error: unknown key \"txt\" in principle \"a\" (did you mean \"text\"?)\n"},
      {"zzzzzz = 1", "6 error: unknown key \"zzzzzz\" in principle \"a\" (known: id, text, why, priority, hard, applies_to, "
                     "source, critique, revision, preference)\n"},
      {"why = \"\"", "3 warning: principle \"a\" gives no reason (add why = \"...\": explained rules generalise better)\n"},
      {"why = ['x']", "3 warning: principle \"a\" gives no reason (add why = \"...\": explained rules generalise better)\n"
                      "6 error: why must be a string, found a list (put the text in quotes)\n"},
      {"critique = ' '", "6 error: critique is empty (fill it in or remove the line)\n"},
      {"hard = 1", "6 error: hard must be true or false, found a number (hard = true)\n"},
      {"priority = 'x'", "6 error: priority \"x\" is not one of priorities (add priorities = [...] to [constitution])\n"},
      {"applies_to = \"a\\u0000b\"", "6 error: applies_to holds a NUL character (remove \\u0000)\n"},
      {"source = 1979-05-27", "3 warning: principle \"a\" names no source (add source = { name = \"...\", article = \"...\" })\n"
                              "6 error: source must be a string or a table, found a date or time (source = { name = "
                              "\"...\", article = \"...\" })\n"},
  };
  for (const Case& c : cases) {
    std::string text = with(c.line);
    if (c.line.rfind("source", 0) == 0) text = text.substr(0, text.find("source")) + c.line + "\nwhy = 'w'\n";
    EXPECT_EQ(findings_of(text), c.finding) << text;
  }
}

TEST(ConstitutionToml, WrongShapes) {
  EXPECT_EQ(findings_of(""), "1 warning: no [constitution] table (give it a name: [constitution], then name = \"...\")\n"
                             "1 error: no principles (write [[principle]] with id and text)\n");
  EXPECT_EQ(findings_of("[constitution]\nname='x'\n[principle]\nid='a'\n"),
            "1 error: no principles (write [[principle]] with id and text)\n"
            "3 error: principle must be a list of tables, found a table (write [[principle]] with two brackets)\n");
  EXPECT_EQ(findings_of("principle = [1]\nconstitution = 'x'\n"),
            "1 error: a principle must be a table, found a number (write [[principle]] and its keys below)\n"
            "1 error: no principles (write [[principle]] with id and text)\n"
            "2 error: [constitution] must be a table, found a string (write [constitution] on a line of its own)\n");
  EXPECT_EQ(findings_of("[constitution]\nname='x'\npriorities='a'\n"),
            "1 error: no principles (write [[principle]] with id and text)\n"
            "3 error: priorities must be a list, found a string (priorities = [\"first\", \"second\"], the most important "
            "tier first)\n");
}

TEST(ConstitutionToml, SyntaxErrorsHaveTheirLine) {
  for (const char* bad : {"[constitution]\nname = \"x\ny = 1\n", "[constitution]\nname = x\n", "[constitution]\n= 1\n",
                          "[constitution]\nname = 'a' 'b'\n", "\n[[principle]\n"}) {
    const Parsed parsed = parse_bytes(bad, "a.toml");
    ASSERT_EQ(parsed.findings.size(), 1u) << bad;
    EXPECT_EQ(parsed.findings[0].line, 2) << bad << parsed.findings[0].what;
    EXPECT_EQ(parsed.findings[0].what.rfind("not TOML: ", 0), 0u) << parsed.findings[0].what;
  }
  EXPECT_EQ(parse_bytes("a = 1\na = 2\n", "a.toml").findings.at(0).line, 2);
  // What the parser quotes stays on one line, and whole characters.
  const Parsed tab = parse_bytes("'a\tb' = 1\n'a\tb' = 2\n", "a.toml");
  ASSERT_EQ(tab.findings.size(), 1u);
  EXPECT_NE(tab.findings[0].what.find("a b"), std::string::npos) << tab.findings[0].what;
  EXPECT_EQ(tab.findings[0].what.find('\t'), std::string::npos);
  std::string long_key = "'a";
  for (int i = 0; i < 300; ++i) long_key += "\xC3\xA9";
  const Parsed cut = parse_bytes(long_key + "' = 1\n" + long_key + "' = 2\n", "a.toml");
  EXPECT_FALSE(find_invalid_utf8(cut.findings.at(0).what).has_value()) << cut.findings[0].what;
}

TEST(ConstitutionToml, Templates) {
  const std::string head = with("hard = false");
  EXPECT_EQ(findings_of(head + "[templates]\nselect = \"{conversation}\\n{principle} {why} {applies_to}\"\n"), "");
  EXPECT_EQ(findings_of(head + "[templates]\njugde = 'x'\ncritique = ''\nselect_list = 1\njudge = '''\nfirst\n"
                               "{replly} {PRINCIPLE}\n{something_else_entirely}'''\n"),
            "10 error: unknown key \"jugde\" in [templates] (did you mean \"judge\"?)\n"
            "11 error: template critique is empty (fill it in or remove the line)\n"
            "12 error: template select_list must be a string, found a number (put the text in quotes)\n"
            "14 error: template judge lacks {conversation} (it needs {conversation} {reply} {principle}; it may have "
            "{why} {applies_to})\n"
            "14 error: template judge lacks {reply} (it needs {conversation} {reply} {principle}; it may have "
            "{why} {applies_to})\n"
            "14 error: template judge lacks {principle} (it needs {conversation} {reply} {principle}; it may have "
            "{why} {applies_to})\n"
            "15 error: unknown placeholder {replly} in template judge (did you mean {reply}?)\n"
            "15 error: unknown placeholder {PRINCIPLE} in template judge (did you mean {principle}?)\n"
            "16 error: unknown placeholder {something_else_entirely} in template judge (it needs {conversation} {reply} "
            "{principle}; it may have {why} {applies_to})\n");
}

TEST(ConstitutionToml, LongTexts) {
  const auto long_text = [](std::size_t n, const std::string& one) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += one;
    return findings_of("[constitution]\nname='x'\n[[principle]]\nid='a'\nwhy='w'\nsource='s'\ntext='" + text + "'\n");
  };
  EXPECT_EQ(long_text(600, "字"), "");  // characters, not bytes
  EXPECT_EQ(long_text(601, "字"), "3 warning: text of principle \"a\" has 601 characters, more than 600 (short rules are "
                                 "judged more reliably: move reasons to why, or split it)\n");
  EXPECT_NE(long_text(4000, "x").find("warning"), std::string::npos);
  EXPECT_EQ(long_text(4001, "x"), "3 error: text of principle \"a\" has 4001 characters, more than 4000 (split it into "
                                  "several principles)\n");
}

TEST(ConstitutionToml, NestingIsBounded) {
  std::string dots = "a";
  for (int i = 0; i < 200000; ++i) dots += ".a";
  EXPECT_EQ(findings_of("\n[" + dots + "]\n"), "2 error: nested too deeply (tables of strings are all that is needed)\n");
  EXPECT_NE(findings_of("x = " + std::string(100000, '[')).find("nested too deeply"), std::string::npos);
  EXPECT_NE(findings_of("x = \"\"\"a\"\"\" # [[[\ny = " + std::string(65, '[')).find("2 error: nested too deeply"), std::string::npos);
  // Dots and brackets inside strings nest nothing.
  EXPECT_EQ(findings_of(with("why = \"" + std::string(100, '.') + "\\\"" + std::string(100, '[') + "\"")), "");
}

}  // namespace
}  // namespace precept
