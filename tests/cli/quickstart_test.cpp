// precept quickstart goes on only with what it began with.

#include "tests/cli/program.h"

namespace precept {
namespace {

class Quickstart : public ProgramTest {
 protected:
  Ran quickstart() const {
    return run("quickstart --quiet --out q --constitution own.toml --prompts 12 --held-out 12 --judge-cases 4 --epochs 1");
  }
};

TEST_F(Quickstart, RefusesAConstitutionThatWasChangedInBetween) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string began = slurp(path("good.toml"));
  put("own.toml", began);
  ASSERT_EQ(quickstart().code, 0);
  // As a kill in the loop leaves it.
  for (const char* name : {"report.html", "summary.json", "eval-sl.json"}) std::filesystem::remove(path(std::string("q/") + name));
  std::filesystem::remove_all(path("q/models"));
  const std::string base = slurp(path("q/eval-base.json")), judge = slurp(path("q/judge.json"));
  put("own.toml", began + "[[principle]]\nid = \"truthful\"\ntext = \"Do not state wrong facts.\"\npriority = \"ethics\"\n");
  const Ran other = quickstart();
  EXPECT_EQ(other.code, 2);
  EXPECT_NE(other.err.find("constitution"), std::string::npos) << other.err;
  EXPECT_EQ(slurp(path("q/constitution.toml")), began);
  EXPECT_EQ(slurp(path("q/eval-base.json")), base);
  EXPECT_EQ(slurp(path("q/judge.json")), judge);
  put("own.toml", began);
  ASSERT_EQ(quickstart().code, 0);
  EXPECT_EQ(slurp(path("q/eval-base.json")), base);
}

TEST_F(Quickstart, OverwritesNoFileOfAnybody) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string mine = slurp(path("prompts.jsonl"));
  const Ran ran = run("quickstart --quiet --out . --prompts 12 --held-out 12");
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.err.find("would be overwritten"), std::string::npos) << ran.err;
  EXPECT_EQ(slurp(path("prompts.jsonl")), mine);
  EXPECT_FALSE(std::filesystem::exists(path("recipe.toml")));
}

}  // namespace
}  // namespace precept
