// precept eval --against: stored evaluations are compared as they are, new ones after evaluating, unlike ones
// not at all.

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;

class EvalAgainst : public ProgramTest {
 protected:
  // An evaluation as `precept eval` stores it: outcome i violates "kind" where `violates` has a '1'.
  void store(const std::string& run_folder, const std::string& label, const std::string& violates) {
    Json e = {{"label", label},
              {"model", "m"},
              {"constitution_digest", "c"},
              {"prompts_digest", "p"},
              {"scorer", "s"}};
    e["per_principle"]["kind"] = nullptr;
    e["outcomes"] = Json::array();
    for (std::size_t i = 0; i < violates.size(); ++i) {
      const bool bad = violates[i] == '1';
      Json principles;
      principles["kind"] = bad;
      e["outcomes"].push_back({{"id", std::to_string(i)},
                               {"answer", "x"},
                               {"scored", true},
                               {"violates", bad},
                               {"principles", principles}});
    }
    std::filesystem::create_directories(folder_ / run_folder);
    put(run_folder + "/eval-" + label + ".json", e.dump());
  }
  Json file(const std::string& name) const { return Json::parse(slurp(path(name)), nullptr, false); }
};

TEST_F(EvalAgainst, StoredOnesNeedNoModel) {
  store("one", "sl", "0000000010");
  store("two", "sl", "1111111100");  // 8 only there, 1 only here: p = 2 (1 + 9) / 2^9
  const Ran text = run("eval --run one --label sl --against two");
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("before: two/eval-sl.json (m)\nafter:  one/eval-sl.json (m)\n10 prompts\n"),
            std::string::npos)
      << text.out;
  const std::size_t at = text.out.find("violation rate");
  ASSERT_NE(at, std::string::npos) << text.out;
  const std::string line = text.out.substr(at, text.out.find('\n', at) - at);
  EXPECT_NE(line.find("      10       8       1      0.039  better"), std::string::npos) << line;

  const Json kept = file("one/compare-sl.json");
  EXPECT_DOUBLE_EQ(kept["violation_rate"]["p"], 0.0390625);
  EXPECT_EQ(kept["violation_rate"]["standing"], "better");
  EXPECT_EQ(kept["per_principle"]["kind"]["before_only"], 8);
  EXPECT_EQ(kept["before"]["evaluation"], "two/eval-sl.json");

  const Ran json = run("eval --run one --label sl --against two:sl --json");
  ASSERT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(Json::parse(json.out)["comparison"], kept);
}

TEST_F(EvalAgainst, AnotherLabelOfTheSameRun) {
  store("one", "base", "111111");
  store("one", "sl", "000000");
  for (const char* other : {":base", "one:base", "./one:base"}) {
    const Ran ran = run(std::string("eval --run one --label sl --json --against ") + other);
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(Json::parse(ran.out)["comparison"]["violation_rate"]["before_only"], 6);
  }
  expect_error(run("eval --run one --label sl --against one"), 2, "names the evaluation itself");
  expect_error(run("eval --run one --label sl --against ./one:sl"), 2, "names the evaluation itself");
}

TEST_F(EvalAgainst, UnlikeOnesAreRefusedAndNothingIsWritten) {
  store("one", "sl", "0000");
  store("two", "sl", "00001");
  expect_error(
      run("eval --run one --label sl --against two"), 2,
      "two/eval-sl.json: the prompts differ from those of one/eval-sl.json: 5 and 4, 4 ids in common");
  for (const char* key : {"prompts_digest", "scorer", "constitution_digest"}) {
    store("two", "sl", "0000");
    Json other = file("two/eval-sl.json");
    other[key] = "other";
    put("two/eval-sl.json", other.dump());
    const std::string word = std::string(key).substr(0, std::string(key).find('_'));
    expect_error(run("eval --run one --label sl --against two"), 2, "the " + word + " differ");
    other.erase(key);
    put("two/eval-sl.json", other.dump());
    expect_error(run("eval --run one --label sl --against two"), 2,
                 "two/eval-sl.json: this evaluation does not tell");
  }
  EXPECT_FALSE(std::filesystem::exists(path("one/compare-sl.json")));
}

TEST_F(EvalAgainst, BadUse) {
  store("one", "base", "0");
  store("one", "sl", "0");
  expect_error(run("eval --label sl --against one"), 2, "no run folder is given");
  expect_error(run("eval --run one --label sl --against one:"), 2, "names no label");
  expect_error(run("eval --run one --label sl --against one:x"), 2, "one/eval-x.json");
  expect_error(run("eval --run one --label x --against one:sl"), 2, "one/eval-x.json");
  expect_error(run("eval --run one --label sl --against :base --temperature 0.5"), 2,
               "--temperature is given, but no model");
}

TEST_F(EvalAgainst, AModelIsEvaluatedAndThenCompared) {
  const std::string eval =
      "eval --model scripted:script.jsonl --constitution good.toml --prompts prompts.jsonl --quiet ";
  ASSERT_EQ(run(eval + "--run one --label base").code, 0);
  const Ran ran = run(eval + "--run two --label sl --temperature 0 --against one:base");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_NE(ran.out.find("sl, 2 prompts\n"), std::string::npos) << "the evaluation itself\n" << ran.out;
  EXPECT_NE(ran.out.find("warning: other settings, temperature: 1 before, 0 after\n"), std::string::npos)
      << ran.out;
  EXPECT_EQ(file("two/compare-sl.json")["after"]["evaluation"], "two/eval-sl.json");
  EXPECT_EQ(file("two/compare-sl.json")["prompts"], 2);

  // The same ids with another text, and another constitution, are met before the model is asked.
  put("prompts.jsonl", "{\"id\":\"a\",\"prompt\":\"Say something.\"}\n{\"id\":\"b\",\"prompt\":\"Less.\"}\n");
  expect_error(run(eval + "--run three --label sl --against one:base"), 2,
               "the same ids with other texts or tags");
  put("prompts.jsonl", "{\"id\":\"a\",\"prompt\":\"Say something.\"}\n{\"id\":\"b\",\"prompt\":\"More.\"}\n");
  put("good.toml", slurp(path("good.toml")) + "applies_to = \"always\"\n");
  expect_error(run(eval + "--run three --label sl --against one:base"), 2, "the constitution differs");
  EXPECT_FALSE(std::filesystem::exists(path("three/eval-sl.json")));
}

}  // namespace
}  // namespace precept
