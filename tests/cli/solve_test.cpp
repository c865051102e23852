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

// Runs of scripted models on ten tasks, each of which a model solves (1) or not (0).
class SolveAgainst : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    put("tasks.jsonl", tasks(10, ""));
  }
  static std::string tasks(int count, const std::string& more) {
    std::string out;
    for (int i = 0; i < count; ++i) {
      const std::string name = "f" + std::to_string(i);
      out += nlohmann::json{{"task_id", "t/" + name}, {"prompt", "def " + name + "():\n    \"\"\"" + more + "\"\"\"\n"}, {"entry_point", name},
                            {"test", "def check(c):\n    assert c() == 1\n"}}
                 .dump() +
             "\n";
    }
    return out;
  }
  // `solves` of task i; a failed first try is mended when its failure is shown where `later` has a 1.
  void model(const std::string& name, const std::string& solves, const std::string& later = "") {
    std::string script = R"({"name": ")" + name + R"(", "can_score": false})" "\n";
    const auto rule = [&](const nlohmann::json& match, const std::string& f, char right) {
      script += nlohmann::json{{"match", match}, {"reply", "```python\ndef " + f + "():\n    return " + right + "\n```"}}.dump() + "\n";
    };
    for (std::size_t i = 0; i < solves.size(); ++i) {
      const std::string f = "f" + std::to_string(i), asked = "def " + f + "():\n    \"\"\"";
      if (!later.empty()) rule({asked, "This program fails its tests"}, f, later[i]);
      rule(asked, f, solves[i]);
    }
    put(name + ".jsonl", script);
  }
  Ran solve(const std::string& name, const std::string& run_folder, const std::string& more = "", const std::string& of = "tasks.jsonl") {
    return run("solve --quiet --model scripted:" + name + ".jsonl --tasks " + of + " --time-limit 300 --run " + run_folder + " " + more);
  }
};

TEST_F(SolveAgainst, PairsTheTasksOfTwoRuns) {
  model("weak", "0000000011");
  model("strong", "1111111100");  // 8 only there, 2 only in the other: p = 2 (1 + 10 + 45) / 2^10
  ASSERT_EQ(solve("weak", "one").code, 0);
  const Ran text = solve("strong", "two", "--against one");
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("one: 8 of 10 samples solved"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("before: one (model "), std::string::npos) << text.out;
  const std::size_t at = text.out.find("\n  one  ");
  ASSERT_NE(at, std::string::npos) << text.out;
  const std::string line = text.out.substr(at + 1, text.out.find('\n', at + 1) - at - 1);
  EXPECT_NE(line.find("20.0%     80.0%"), std::string::npos) << line;
  EXPECT_NE(line.find("     10       2       8      0.109  no clear difference"), std::string::npos) << line;
  EXPECT_NE(text.out.find("exact McNemar"), std::string::npos) << text.out;

  const auto kept = nlohmann::json::parse(slurp(path("two/solve-against.json")));
  const auto& one = kept["strategies"]["one"];
  EXPECT_DOUBLE_EQ(one["p"], 0.109375);
  EXPECT_EQ(one["p"], one["p_holm"]);
  EXPECT_EQ(one["after_only"], 8);
  EXPECT_EQ(one["before_only"], 2);
  EXPECT_EQ(one["both"], 0);
  EXPECT_EQ(one["before"]["value"], 0.2);
  EXPECT_DOUBLE_EQ(one["difference"]["value"], 0.6);
  EXPECT_EQ(kept["tasks"], 10);
  EXPECT_EQ(kept["before"]["run"], "one");
  EXPECT_NE(kept["before"]["model_digest"], kept["after"]["model_digest"]);
  EXPECT_EQ(kept["differing_settings"], nlohmann::json::array());

  // What is stored needs neither model nor tasks, and says the same.
  const Ran stored = run("solve --run two --against one --json");
  ASSERT_EQ(stored.code, 0) << stored.err;
  EXPECT_EQ(nlohmann::json::parse(stored.out)["comparison"], kept);
  const Ran finished = solve("strong", "two", "--against one --json");
  EXPECT_EQ(nlohmann::json::parse(finished.out)["comparison"], kept);
  EXPECT_FALSE(nlohmann::json::parse(slurp(path("two/solve.json"))).contains("comparison")) << "the run's own figures stay its own";
  const Ran back = run("solve --run one --against two --json");
  EXPECT_DOUBLE_EQ(nlohmann::json::parse(back.out)["comparison"]["strategies"]["one"]["difference"]["value"], -0.6);
}

TEST_F(SolveAgainst, StrategiesArePairedByNameAndCorrectedFor) {
  model("weak", "0000000000", "0000000000");
  model("strong", "1111110000", "1111111111");
  ASSERT_EQ(solve("weak", "one", "--strategy persist,one,restart --max-tries 2 --max-tokens 64").code, 0);
  ASSERT_EQ(solve("strong", "two", "--strategy one,persist,summary --max-tries 2 --max-tokens 64 --seed 7").code, 0);
  const Ran ran = run("solve --run two --against one --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out)["comparison"];
  EXPECT_EQ(json["only_before"], nlohmann::json{"restart"});
  EXPECT_EQ(json["only_after"], nlohmann::json{"summary"});
  ASSERT_EQ(json["strategies"].size(), 2u);
  EXPECT_DOUBLE_EQ(json["strategies"]["one"]["p"], 2 / 64.0);
  EXPECT_DOUBLE_EQ(json["strategies"]["one"]["p_holm"], 2 / 64.0);
  EXPECT_EQ(json["strategies"]["one"]["standing"], "better");
  EXPECT_DOUBLE_EQ(json["strategies"]["persist"]["p"], 2 / 1024.0);
  EXPECT_DOUBLE_EQ(json["strategies"]["persist"]["p_holm"], 4 / 1024.0);
  EXPECT_EQ(json["differing_settings"], nlohmann::json{"seed: 0 before, 7 after"});
  const Ran text = run("solve --run two --against one");
  EXPECT_NE(text.out.find("warning: other settings, seed: 0 before, 7 after"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("only before: restart"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("only after: summary"), std::string::npos) << text.out;
}

// A budget that follows from the strategies is another one when they differ, though the recipe says 0 both times.
TEST_F(SolveAgainst, SeveralSamplesAreComparedByTheirShares) {
  model("weak", "0001111111");
  model("strong", "1111111111");
  ASSERT_EQ(solve("weak", "one", "--samples 2").code, 0);
  ASSERT_EQ(solve("strong", "two", "--samples 3 --strategy one,restart").code, 0);
  const Ran ran = run("solve --run two --against one --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out)["comparison"];
  EXPECT_DOUBLE_EQ(json["strategies"]["one"]["p"], 2 / 8.0) << "three tasks differ, all the same way";
  EXPECT_EQ(json["strategies"]["one"]["both"], 7);
  EXPECT_EQ(json["differing_settings"], (nlohmann::json{"samples: 2 before, 3 after", "budget: 512 before, 2048 after"}));
  EXPECT_NE(run("solve --run two --against one").out.find("(Fisher)"), std::string::npos);
}

TEST_F(SolveAgainst, UnlikeRunsAreRefusedAndNothingIsAsked) {
  model("weak", "0000000000", "0000000000");
  put("few.jsonl", tasks(4, ""));
  put("other.jsonl", tasks(10, "Other words."));
  ASSERT_EQ(solve("weak", "one").code, 0);
  expect_error(solve("weak", "few", "--against one", "few.jsonl"), 2, "one: the tasks differ from those of few: 10 and 4, 4 ids in common");
  expect_error(solve("weak", "other", "--against one", "other.jsonl"), 2, "the same ids with other prompts, tests or order");
  expect_error(solve("weak", "persist", "--strategy persist,summary --against one"), 2, "no strategy in common with persist: one and persist, summary");
  expect_error(solve("weak", "new", "--against nowhere"), 2, "nowhere");
  for (const char* folder : {"few", "other", "persist", "new"}) EXPECT_FALSE(std::filesystem::exists(path(folder))) << folder;
  ASSERT_EQ(solve("weak", "few", "", "few.jsonl").code, 0);
  expect_error(run("solve --run few --against one"), 2, "the tasks differ from those of few");
  expect_error(run("solve --run one --against ./one"), 2, "names the run itself");
  expect_error(run("solve --against one"), 2, "no run folder is given");
  expect_error(run("solve --run few --against one --samples 2"), 2, "--samples is given, but no model");
  EXPECT_FALSE(std::filesystem::exists(path("few/solve-against.json")));
  // A run of the loop is none of solve.
  put("prompts.jsonl", "{\"prompt\": \"Hello?\"}\n");
  put("kind.jsonl", R"({"match": "", "scores": {"yes": -2.3, "no": -0.1}})" "\n" R"({"match": "", "reply": "Hello."})" "\n");
  ASSERT_EQ(run("revise --quiet --model scripted:kind.jsonl --prompts prompts.jsonl --run loop").code, 0);
  expect_error(run("solve --run one --against loop"), 2, "loop: this is no run of precept solve");
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
