// A recipe sets what flags set, flags override it, and the recipe that a run writes makes the same run again.

#include <algorithm>
#include <string>

#include "tests/cli/program.h"

namespace precept {
namespace {

class RecipeFlag : public ProgramTest {
 protected:
  // Bytes of a run's file.
  std::string file(const std::string& name) const { return slurp(path(name)); }
  std::string traces(const std::string& run_folder) const {
    const Ran ran = run("export --what traces --run " + run_folder);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.out;
  }
  static std::string source() {
    const char* root = std::getenv("PRECEPT_SOURCE");
    return root == nullptr ? "." : root;
  }
  void expect_fine(const std::string& arguments) const {
    const Ran ran = run(arguments);
    ASSERT_EQ(ran.code, 0) << arguments << "\n" << ran.err;
  }
};

TEST_F(RecipeFlag, ErrorsNameFileAndLine) {
  put("key.toml", "[revise]\nmodel = \"pocket\"\nmax_roundz = 3\n");
  const Ran key = run("revise --recipe key.toml");
  expect_error(key, 2, "key.toml:3: unknown key \"max_roundz\" in [revise]");
  EXPECT_NE(key.err.find("hint: did you mean \"max_rounds\"?"), std::string::npos) << key.err;
  put("type.toml", "[eval]\nheld_out = \"many\"\n");
  expect_error(run("eval --recipe type.toml"), 2, "type.toml:2: held_out must be a whole number, found a string");
  put("range.toml", "[sft]\nlr = 0\n");
  expect_error(run("train sft --recipe range.toml"), 2, "range.toml:2: lr is 0.0");
  put("table.toml", "[quickstar]\nseed = 1\n");
  expect_error(run("quickstart --recipe table.toml"), 2, "table.toml:1: unknown table [quickstar]");
  put("build.toml", "[pocket_build]\nvocab_size = 5000\n");
  expect_error(run("pocket build --recipe build.toml"), 2, "build.toml:2: vocab_size is 5000");
  put("other.toml", "[sft]\nepochs = 0\n[eval]\n");
  expect_error(run("eval --recipe other.toml"), 2, "other.toml:2: epochs is 0");
  expect_error(run("eval --recipe missing.toml"), 2, "missing.toml");
}

TEST_F(RecipeFlag, FlagsOutOfRangeAreRefusedToo) {
  expect_error(run("revise --max-rounds 101"), 2, "--max-rounds is 101");
  expect_error(run("eval --top-p 0"), 2, "--top-p is 0.0");
  expect_error(run("quickstart --selection all"), 2, "--selection is \"all\"");
  expect_error(run("revise --batch 5000"), 2, "--batch is 5000");
  for (const char* trainer : {"sft", "dpo", "reward", "grpo"}) {
    expect_error(run(std::string("train ") + trainer + " --lanes 65"), 2, "--lanes is 65");
  }
}

TEST_F(RecipeFlag, RecipesThatShipAreRead) {
  for (const auto& entry : std::filesystem::directory_iterator(source() + "/recipes")) {
    if (slurp(entry.path()).find("[method]") != std::string::npos) continue;  // of compare: compare_test.cpp
    expect_error(run("quickstart --prompts 0 --recipe '" + entry.path().string() + "'"), 2, "--prompts is 0");
  }
}

TEST_F(RecipeFlag, FlagsOverrideTheFileAndTheFileTheDefaults) {
  put("r.toml", "model = \"scripted:script.jsonl\"\nseed = 4\n[revise]\nprompts = \"prompts.jsonl\"\n"
                "constitution = \"good.toml\"\nmax_rounds = 2\nrevise_compliant = true\nselection = \"random\"\nrun = \"r\"\n");
  expect_fine("revise --recipe r.toml --max-rounds 1 --revise-compliant=false");
  const std::string recipe = file("r/recipe.toml");
  for (const char* line : {"max_rounds = 1 ", "revise_compliant = false ", "selection = \"random\" ", "seed = 4 ",
                           "draft_max_tokens = 256 ", "model = \"scripted:script.jsonl\" "}) {
    EXPECT_NE(recipe.find(std::string("\n") + line), std::string::npos) << line << "\n" << recipe;
  }
}

TEST_F(RecipeFlag, TheRecipeOfARunMakesTheSameRun) {
  expect_fine("revise --model scripted:script.jsonl --prompts prompts.jsonl --constitution good.toml --run one "
              "--max-rounds 2 --selection random --revise-compliant --seed 9 --draft-temperature 0.3 --threads 2");
  expect_fine("revise --recipe one/recipe.toml --run two --threads 1");
  EXPECT_EQ(file("one/recipe.toml"), file("two/recipe.toml"));
  EXPECT_EQ(traces("one"), traces("two"));
  EXPECT_NE(traces("one"), "");
  // Another recipe is another run, so the equality above says something.
  expect_fine("revise --recipe one/recipe.toml --run three --max-rounds 1");
  EXPECT_NE(traces("one"), traces("three"));
}

TEST_F(RecipeFlag, TheRecipesOfTrainingAndEvaluationToo) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put("sft.jsonl", "{\"prompt\":\"What is two plus two?\",\"completion\":\"Four.\"}\n");
  expect_fine("train sft --data sft.jsonl --out one --epochs 3 --lr 0.002 --seed 3 --warmup-share 0.5 --lanes 2 --quiet");
  EXPECT_NE(file("one/recipe.toml").find("\nlanes = 2 "), std::string::npos) << file("one/recipe.toml");
  expect_fine("train sft --recipe one/recipe.toml --out two --quiet");
  EXPECT_EQ(file("one/recipe.toml"), file("two/recipe.toml"));
  EXPECT_EQ(file("one/model.safetensors"), file("two/model.safetensors"));
  expect_fine("train sft --recipe one/recipe.toml --out three --epochs 1 --quiet");
  EXPECT_NE(file("one/model.safetensors"), file("three/model.safetensors"));

  expect_fine("eval --model pocket --held-out 3 --seed 8 --temperature 0.5 --max-tokens 9 --label sl --run e1 --quiet");
  expect_fine("eval --recipe e1/eval-sl.toml --run e2 --quiet");
  EXPECT_EQ(file("e1/eval-sl.toml"), file("e2/eval-sl.toml"));
  const auto outcomes = [&](const std::string& name) {
    const std::string text = file(name);
    return text.substr(std::min(text.size(), text.find("\"outcomes\"")));
  };
  EXPECT_NE(outcomes("e1/eval-sl.json"), "");
  EXPECT_EQ(outcomes("e1/eval-sl.json"), outcomes("e2/eval-sl.json"));
}

TEST_F(RecipeFlag, ARecipeOfTheUserInTheRunFolderStays) {
  const std::string mine = "# mine\n[revise]\nmodel = \"scripted:script.jsonl\"\nconstitution = \"good.toml\"\nprompts = \"prompts.jsonl\"\n";
  put("recipe.toml", mine);
  expect_fine("revise --recipe recipe.toml --run . --quiet");
  EXPECT_EQ(file("recipe.toml"), mine);
}

}  // namespace
}  // namespace precept
