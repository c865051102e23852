// precept report shows ten items of a run, each kind of ending among them, whatever the model wrote.
// Runs the built program ($PRECEPT_BINARY).

#include "program.h"

namespace precept {
namespace {

using ReportOfRuns = ProgramTest;

std::size_t occurrences(const std::string& page, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = page.find(what); at != std::string::npos; at = page.find(what, at + what.size())) ++n;
  return n;
}

TEST_F(ReportOfRuns, ShowsTenItemsWithEveryKindOfEnding) {
  put("own.toml",
      "[constitution]\nname = \"n\"\n[[principle]]\nid = \"kind\"\ntext = \"Be kind.\"\n[templates]\n"
      "select = \"SELECT {conversation}\\n{principle}\"\njudge = \"JUDGE {conversation} {reply}\\n{principle}\"\n"
      "critique = \"CRITIQUE\\n{conversation} {reply}\\n{principle}\"\n"
      "revise = \"REVISE\\n{conversation} {reply} {critique}\\n{principle}\"\n");
  const std::string yes = "\"scores\":{\"yes\":-0.01,\"no\":-5}}\n", no = "\"scores\":{\"yes\":-5,\"no\":-0.01}}\n";
  put("own.jsonl", "{\"match\":\"SELECT\"," + yes + "{\"match\":[\"JUDGE\",\"BAD\"]," + yes + "{\"match\":\"\"," + no +
                       "{\"match\":\"CRITIQUE\",\"reply\":\"It is unkind.\"}\n{\"match\":[\"REVISE\",\"stubborn\"],\"reply\":\"BAD again.\"}\n"
                       "{\"match\":\"REVISE\",\"reply\":\"Good now.\"}\n"
                       "{\"match\":\"naughty\",\"reply\":\"BAD </script><script>alert(1)</script>\\u202E\\u0000\"}\n"
                       "{\"match\":\"\",\"reply\":\"Fine.\"}\n");
  std::string prompts;
  for (int i = 0; i < 16; ++i) {
    prompts += "{\"prompt\":\"" + std::string(i < 12 ? "ask " : i < 15 ? "naughty " : "naughty stubborn ") + std::to_string(i) + "\"}\n";
  }
  put("many.jsonl", prompts);
  const Ran loop = run("revise --model scripted:own.jsonl --constitution own.toml --prompts many.jsonl --run r --max-rounds 2");
  ASSERT_EQ(loop.code, 0) << loop.err;
  EXPECT_EQ(slurp(path("r/constitution.toml")), slurp(path("own.toml")));
  ASSERT_EQ(run("report --run r").code, 0);
  const std::string page = slurp(path("r/report.html"));
  EXPECT_EQ(occurrences(page, "<details"), 10U);
  EXPECT_EQ(occurrences(page, "revised</span></summary>"), 3U);
  EXPECT_EQ(occurrences(page, "still violating</span></summary>"), 1U);
  EXPECT_EQ(occurrences(page, "kept</span></summary>"), 6U) << "places that other kinds leave are filled";
  EXPECT_EQ(occurrences(page, "<script"), 0U);
  EXPECT_EQ(occurrences(page, "\xE2\x80\xAE"), 0U);
  EXPECT_GT(occurrences(page, "&lt;/script&gt;"), 0U);
}

TEST_F(ReportOfRuns, CompareNothingThatSaysNothingAboutTheOther) {
  const std::string evaluate = "eval --model scripted:script.jsonl --held-out 3 --run r";
  ASSERT_EQ(run(evaluate + " --label base --constitution good.toml").code, 0);
  put("kinder.toml", slurp(path("good.toml")) + "[[principle]]\nid = \"kinder\"\ntext = \"Be kinder.\"\npriority = \"ethics\"\n");
  for (const bool same : {true, false}) {
    const Ran sl = run(evaluate + " --label sl --constitution " + (same ? "good.toml" : "kinder.toml"));
    ASSERT_EQ(sl.code, 0) << sl.err;
    ASSERT_EQ(run("report --run r").code, 0);
    EXPECT_EQ(occurrences(slurp(path("r/report.html")), "Before and after are not compared"), same ? 0U : 1U);
    EXPECT_EQ(occurrences(slurp(path("r/summary.json")), "\"p_holm\"") > 0, same);
  }
}

TEST_F(ReportOfRuns, KeepTheConstitutionWithWhatItExtends) {
  std::filesystem::create_directory(path("sub"));
  put("sub/constitution.toml", "[constitution]\nname = \"more\"\npriorities = [\"ethics\"]\n extends=\"../good.toml\"\n[[principle]]\nid = \"brief\"\n"
                   "text = \"Be brief.\"\npriority = \"ethics\"\n");
  const Ran loop = run("revise --model scripted:script.jsonl --constitution sub/constitution.toml --prompts prompts.jsonl --run r --max-rounds 0");
  ASSERT_EQ(loop.code, 0) << loop.err;
  EXPECT_EQ(slurp(path("r/constitution-base-1.toml")), slurp(path("good.toml")));
  ASSERT_EQ(run("report --run r").code, 0);
  const std::string page = slurp(path("r/report.html"));
  EXPECT_GT(occurrences(page, "Be kind."), 0U);
  EXPECT_GT(occurrences(page, "Be brief."), 0U);
}

}  // namespace
}  // namespace precept
