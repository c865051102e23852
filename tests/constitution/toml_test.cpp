#include <gtest/gtest.h>

#include "precept/constitution/parse.h"
#include "precept/constitution/prompts_parse.h"

namespace precept {
namespace {

TEST(ConstitutionToml, ReadsEveryField) {
  const Parsed parsed = parse_bytes(R"([constitution]
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
source = { name = "UDHR", article = "3" }
critique = "c"
revision = "r"
preference = "p"

[[principle]]
id = "kind"
text = "Be kind."
why = "People matter."
priority = "ethics"
source = "common sense"

[templates]
judge = "{conversation} {reply} {principle}"
)", "a.toml");
  ASSERT_TRUE(parsed.findings.empty()) << parsed.findings[0].what;
  const Constitution& c = parsed.constitution;
  EXPECT_EQ(c.name, "Small");
  EXPECT_EQ(c.principles.size(), 2u);
  EXPECT_EQ(c.principles[0].line, 8);
  EXPECT_EQ(c.principles[0].source.article, "3");
  EXPECT_EQ(c.principles[1].source.name, "common sense");
  EXPECT_EQ(c.templates.at("judge"), "{conversation} {reply} {principle}");
}

TEST(Prompts, ReadsBothForms) {
  const auto prompts = read_prompts(memory_bytes("{\"prompt\":\"hi\"}\r\n\n{\"prompt\":\"hi\"}\n{\"id\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"tags\":[\"t\"]}"), "p.jsonl");
  ASSERT_TRUE(prompts) << prompts.error().message();
  ASSERT_EQ(prompts->size(), 3u);
  EXPECT_EQ((*prompts)[1].id, (*prompts)[0].id + "-2");
  EXPECT_EQ((*prompts)[2].id, "x");
}

}  // namespace
}  // namespace precept
