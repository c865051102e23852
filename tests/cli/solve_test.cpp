// precept solve from the command line.

#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

class SolveCommandTest : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    put("tasks.jsonl", R"({"task_id": "t/1", "prompt": "def one():\n    \"\"\"One.\"\"\"\n", "entry_point": "one", "test": "def check(c):\n    assert c() == 1\n"}
{"task_id": "t/2", "prompt": "def two():\n    \"\"\"Two.\"\"\"\n", "entry_point": "two", "test": "def check(c):\n    assert c() == 2\n"}
)");
    put("solver.jsonl", R"({"name": "s", "can_score": false}
{"match": "def one", "reply": "```python\ndef one():\n    return 1\n```"}
{"match": "This program fails its tests", "reply": "```python\ndef two():\n    return 2\n```"}
{"match": "def two", "reply": "```python\ndef two():\n    return 3\n```"}
)");
  }
  static std::string solve(const std::string& more) {
    return "solve --quiet --model scripted:solver.jsonl --tasks tasks.jsonl --time-limit 300 --run r " + more;
  }
};

TEST_F(SolveCommandTest, MeasuresAndComparesStrategies) {
  const Ran ran = run(solve("--strategy one,persist --json"));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["tasks"], 2);
  EXPECT_EQ(json["budget"], 2048);
  ASSERT_EQ(json["strategies"].size(), 2u);
  EXPECT_EQ(json["strategies"][0]["pass_at"]["1"]["value"], 0.5);
  EXPECT_EQ(json["strategies"][1]["pass_at"]["1"]["value"], 1.0);
  EXPECT_EQ(json["strategies"][1]["difference"]["value"], 0.5);
  EXPECT_EQ(nlohmann::json::parse(slurp(path("r/solve.json"))), json);
  // Again: a no-op with the same words, also for people.
  const Ran again = run(solve("--strategy one,persist --json"));
  EXPECT_EQ(again.out, ran.out);
  const Ran text = run(solve("--strategy one,persist"));
  EXPECT_NE(text.out.find("one: 1 of 2 samples solved"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("persist: 2 of 2 samples solved"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("against one: pass@1 +50.0 points"), std::string::npos) << text.out;
  // The recipe that it left makes the same run.
  const Ran recipe = run("solve --quiet --recipe r/recipe.toml --run r2 --json");
  ASSERT_EQ(recipe.code, 0) << recipe.err;
  EXPECT_EQ(recipe.out, ran.out);
}

TEST_F(SolveCommandTest, RefusesWhatMakesNoSense) {
  expect_error(run("solve --tasks tasks.jsonl --run r"), 2, "no model is given");
  expect_error(run("solve --model scripted:solver.jsonl --run r"), 2, "no tasks are given");
  expect_error(run("solve --model scripted:solver.jsonl --tasks tasks.jsonl"), 2, "no run folder is given");
  expect_error(run(solve("--k 2")), 2, "--k 2 needs at least 2 samples");
  expect_error(run(solve("--k 0")), 2, "--k is");
  expect_error(run(solve("--strategy al")), 2, "unknown strategy");
  expect_error(run(solve("--samples 0")), 2, "--samples");
  put("bad.jsonl", "{\"task_id\": \"t\"}\n");
  expect_error(run("solve --model scripted:solver.jsonl --tasks bad.jsonl --run r"), 2, "bad.jsonl:1: no prompt");
  EXPECT_FALSE(std::filesystem::exists(path("r"))) << "nothing is begun";
}

TEST_F(SolveCommandTest, AnotherRecipeIsRefused) {
  ASSERT_EQ(run(solve("")).code, 0);
  expect_error(run(solve("--samples 2")), 2, "another recipe");
}

// A machine without user namespaces: one line and a hint, nothing asked, nothing run. (unshare is util-linux's; the limit
// is that of the new namespace.)
TEST_F(SolveCommandTest, WithoutASandboxNothingIsBegun) {
  const Ran probe = run("--version", "unshare --user --map-root-user true && ");
  if (probe.code != 0) GTEST_SKIP() << "this system has no user namespaces to begin with";
  const Ran ran = run("solve --quiet --model scripted:solver.jsonl --tasks tasks.jsonl --run r",
                      "unshare --user --map-root-user sh -c 'echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"' sh");
  expect_error(ran, 3, "no sandbox can be built here");
  EXPECT_FALSE(std::filesystem::exists(path("r")));
}

// The tiny tasks of the pocket world: what the trainers learn from answers what `solve` asks.
TEST_F(SolveCommandTest, PocketTasksAreSolvedByTheirOwnAnswers) {
  ASSERT_EQ(run("pocket tasks --split held-out --count 8 --seed 3 --out pocket.jsonl").code, 0);
  ASSERT_EQ(run("pocket tasks --split held-out --count 8 --seed 3 --form pairs --out pairs.jsonl").code, 0);
  const Ran sft = run("pocket tasks --split held-out --count 8 --seed 3 --form sft");
  ASSERT_EQ(sft.code, 0) << sft.err;
  std::string right, wrong, before;
  std::istringstream examples(sft.out), pairs(slurp(path("pairs.jsonl")));
  for (std::string line; std::getline(examples, line);) {
    const auto example = nlohmann::json::parse(line);
    right += nlohmann::json{{"match", example["prompt"]}, {"reply", example["completion"]}}.dump() + "\n";
  }
  for (std::string line; std::getline(pairs, line);) {
    const auto pair = nlohmann::json::parse(line);
    EXPECT_NE(pair["chosen"], pair["rejected"]);
    wrong += nlohmann::json{{"match", pair["prompt"]}, {"reply", pair["rejected"]}}.dump() + "\n";
  }
  put("right.jsonl", right);
  put("wrong.jsonl", wrong);
  for (const auto& [name, passes] : {std::pair("right", 1.0), std::pair("wrong", 0.0)}) {
    const Ran ran = run("solve --quiet --tasks pocket.jsonl --time-limit 300 --json --model scripted:" + std::string(name) + ".jsonl --run " + name);
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(nlohmann::json::parse(ran.out)["strategies"][0]["pass_at"]["1"]["value"], passes) << ran.out;
  }
  expect_error(run("pocket tasks --form poems"), 2, "poems");
  expect_error(run("pocket tasks --count 0"), 2, "--count");
}

}  // namespace
}  // namespace precept
