#include <gtest/gtest.h>

#include "tests/constitution/findings.h"

namespace precept {
namespace {

// "line [tier] id! text | why" a principle; "!" marks a hard constraint.
std::string principles_of(const std::string& text) {
  std::string out;
  for (const Principle& p : parse_bytes(text, "a.md").constitution.principles) {
    out += std::to_string(p.line) + " [" + p.priority + "] " + p.id + (p.hard ? "!" : "") + " " + p.text + " | " + p.why + "\n";
  }
  return out;
}

TEST(ConstitutionMarkdown, HeadingsTiersAndLists) {
  EXPECT_EQ(principles_of("# T\n\nIntro.\n\n## One\n\n### Be Kind\n\nText\n*here*.\n\nWhy: a.\n\nb.\n\n## Hard constraints\n\n"
                          "- Never a b c d e f.\n- **Bold one.** Rest.\n\n## Alone\n\nDo:\n\n- x\n- y\n\nEnd.\n"),
            "7 [One] be-kind Text here. | a. b.\n"
            "18 [Hard constraints] never-a-b-c-d-e! Never a b c d e f. | \n"
            "19 [Hard constraints] bold-one! Bold one. Rest. | \n"
            "21 [Other] alone Do: x; y | End.\n");
  EXPECT_EQ(parse_bytes("## A\n\n### B\n\nx\n\n## 底线\n\n### C\n\ny\n", "a.md").constitution.priorities,
            (std::vector<std::string>{"底线", "A"}));
}

TEST(ConstitutionMarkdown, FrontMatterKeepsLines) {
  EXPECT_EQ(principles_of("---\nx: 1\n---\n# T\n\n## A b\n\nRule.\n"), "6 [] a-b Rule. | \n");
  EXPECT_EQ(principles_of("# T\r\n\r\n## A b\r\n\r\nRule\r\nmore.\r\n"), "3 [] a-b Rule more. | \n");
}

TEST(ConstitutionMarkdown, ListUnderTheTitle) {
  EXPECT_EQ(principles_of("# T\n\nWe say:\n\n1. Be kind.\n2. Be kind.\n"), "5 [] be-kind Be kind. | \n6 [] be-kind-2 Be kind. | \n");
}

TEST(ConstitutionMarkdown, Findings) {
  EXPECT_EQ(findings_of("# T\n\nOnly words.\n", "a.md"),
            "1 error: no principles (write headings with a paragraph below, or lists)\n"
            "3 warning: only a preamble: paragraphs before the first section are not principles (give each rule a heading of its own)\n");
  EXPECT_EQ(findings_of("# T\n\n## A\n\nx\n\ny\n\n## A\n\nz\n\nw\n\n## Empty\n", "a.md"),
            "9 error: id \"a\" is already that of the principle in line 3 (give each principle its own id)\n"
            "15 warning: heading \"Empty\" has nothing below it (write the rule as a paragraph)\n");
  EXPECT_EQ(findings_of("## A\n\nx\n\ny\n\n```\ncode\n```\n", "a.md"),
            "1 warning: the constitution has no title (begin with a line such as \"# Our constitution\")\n"
            "7 warning: a code block is not part of any principle (write it as a paragraph, or ignore this)\n");
}

TEST(ConstitutionMarkdown, HostileNestingIsRefused) {
  const std::string deep = " error: nested too deeply (a constitution needs headings, paragraphs and plain lists)\n";
  EXPECT_EQ(findings_of("# T\n" + std::string(50000, '>'), "a.md"), "2" + deep);
  EXPECT_EQ(findings_of("# T\r" + std::string(50000, '>'), "a.md"), "2" + deep);
  std::string dashes;
  for (int i = 0; i < 5000; ++i) dashes += "- ";
  EXPECT_EQ(findings_of(dashes + "x", "a.md"), "1" + deep);
  EXPECT_EQ(findings_of("# T\n\n" + std::string(20000, '['), "a.md"),
            "3 error: paragraph longer than 16384 bytes (separate paragraphs by blank lines)\n");
  EXPECT_EQ(findings_of("# T\n\n## A\n\nx\n\ny\n\n" + std::string(200, '-') + "\n", "a.md"), "");  // a rule nests nothing
}

}  // namespace
}  // namespace precept
