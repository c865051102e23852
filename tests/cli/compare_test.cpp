// precept compare: recipes of methods are read strictly; two methods are compared from end to end; a kill changes nothing.

#include <signal.h>

#include <chrono>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

using Json = nlohmann::json;

class Compare : public ProgramTest {
 protected:
  void expect_refused(const std::string& toml, const std::string& words) {
    put("m.toml", toml);
    expect_error(run("compare m.toml --out c"), 2, words);
    EXPECT_FALSE(std::filesystem::exists(path("c"))) << toml;
  }
  // Two methods with as little to do as shows anything.
  void put_methods() {
    put("sl.toml", "[method]\nname = \"Supervised\"\nstages = \"revise, sft\"\n[sft]\nepochs = 1\npanel = 8\n");
    put("rl.toml",
        "[method]\nstages = \"midtrain, deliberate, sft, revise, dpo, grpo\"\n[midtrain]\ndocuments = 40\npanel = 0\n[sft]\nepochs = 1\npanel = 0\n"
        "[deliberate]\nsamples = 1\n[dpo]\npanel = 0\n"
        "[grpo]\nprompts_per_step = 4\nsamples = 2\nmax_new_tokens = 32\npanel = 4\nguard_every = 2\njudge_verdicts = true\ndynamic_sampling = true\n");
  }
  static std::string command(const std::string& out, const std::string& more = "") {
    return "compare sl.toml rl.toml --quiet --prompts 24 --held-out 24 --out " + out + more;
  }
};

TEST_F(Compare, RecipesOfMethodsAreReadStrictly) {
  expect_refused("[method]\nstages = \"revise, sfd\"\n", "m.toml:1: no stage is called \"sfd\"");
  expect_refused("[method]\nname = \"x\"\n", "m.toml:1: no stages are listed");
  expect_refused("# nothing\n[sft]\nepochs = 1\n", "m.toml: this recipe has no table [method]");
  expect_refused("[method]\nstages = \"sft\"\n", "m.toml:1: sft has no answers to learn");
  expect_refused("[method]\nstages = \"deliberate, dpo\"\n", "m.toml:1: dpo has no pairs to learn from");
  expect_refused("[method]\nstages = \"revise\"\n", "m.toml:1: the last stage, revise, trains nothing");
  expect_refused("[method]\nstages = \"revise,,sft\"\n", "m.toml:1: no stage is called \"\"");
  expect_refused("[method]\nstages = 3\n", "m.toml:2: stages must be a string");
  expect_refused("[method]\nstages = \"revise, sft\"\n\n[grpo]\nlr = 1e-4\n", "m.toml:4: [grpo] is no stage of this method");
  expect_refused("[method]\nstages = \"revise, sft\"\n[sft]\nmodel = \"pocket\"\n", "m.toml:4: unknown key \"model\" in [sft]");
  expect_refused("[method]\nstages = \"revise, sft\"\n[sft]\nseed = 3\n", "m.toml:4: unknown key \"seed\" in [sft]");
  expect_refused("[method]\nstages = \"revise, sft\"\n[sft]\nlr = -1\n", "m.toml:4: lr is -1.0");
  expect_refused("[method]\nstages = \"revise, sft\"\n[quickstart]\n", "m.toml:3: unknown table [quickstart]");
  expect_refused("seed = 1\n[method]\nstages = \"revise, sft\"\n", "m.toml:1: the key \"seed\" stands above all tables");
  expect_refused("method = 3\n", "m.toml:1: method must be a table");
  expect_refused("[method]\nstages = \"deliberate, sft\"\n[deliberate]\nrequest = \"Answer {prompt}\"\n", "m.toml:3: request has no {rules}");
  expect_refused("[method]\nstages = \"deliberate, sft\"\n[deliberate]\nreasoning = true\nrequest = \"{prompt} {rules}\"\n", "m.toml:3: request has no {reasoning}");
  expect_refused("[method]\nstages = \"deliberate, sft\"\n[deliberate]\nrules = \"some\"\n", "m.toml:4: rules is \"some\"");
  expect_refused("[method]\nstages = \"revise, sft\\u0000\"\n", "m.toml:2: stages holds a NUL character");
  expect_refused("[method\n", "m.toml:1");
  expect_refused("", "m.toml");
  expect_refused("[method]\nstages = \"" + [] { std::string s = "revise"; for (int i = 0; i < 20; ++i) s += ", sft"; return s; }() + "\"\n", "more than 12 stages");
  expect_error(run("compare missing.toml --out c"), 2, "missing.toml");
  expect_error(run("compare --out c"), 2, "RECIPE");
  put("base.toml", "[method]\nstages = \"revise, sft\"\n");
  expect_error(run("compare base.toml --out c"), 2, "a method cannot be called base");
  std::filesystem::create_directory(path("d"));
  put_methods();
  std::filesystem::copy(path("sl.toml"), path("d/sl.toml"));
  expect_error(run("compare sl.toml d/sl.toml --out c"), 2, "two recipes are called sl");
  expect_error(run("compare sl.toml --out c --seeds 0"), 2, "--seeds is 0");
  expect_error(run("compare sl.toml --out c --spend-all"), 2, "--spend-all needs a budget");
}

TEST_F(Compare, TheMethodsThatShipAreRead) {
  const char* root = std::getenv("PRECEPT_SOURCE");
  std::string all;
  int methods = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(root == nullptr ? "." : root) + "/recipes")) {
    if (slurp(entry.path()).find("[method]") == std::string::npos) continue;
    ++methods;
    all += " '" + entry.path().string() + "'";
  }
  EXPECT_GE(methods, 8);
  put("last.toml", "[method]\nstages = \"\"\n");
  expect_error(run("compare" + all + " last.toml --out c"), 2, "last.toml:1: no stages are listed");
}

// One run that is killed again and again, and one that is not.
TEST_F(Compare, EndToEndAndKilled) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put_methods();
  const Ran whole = run(command("whole"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  for (const char* word : {"base", "sl ", "rl ", "violation rate", "p = "}) EXPECT_NE(whole.out.find(word), std::string::npos) << whole.out;
  const auto summary = Json::parse(slurp(path("whole/summary.json")), nullptr, false);
  ASSERT_TRUE(summary.is_object());
  ASSERT_EQ(summary["methods"].size(), 3U);
  EXPECT_EQ(summary["methods"][0]["id"], "base");
  EXPECT_EQ(summary["methods"][1]["name"], "Supervised");
  EXPECT_TRUE(summary["methods"][1]["against_first"].is_null());
  EXPECT_TRUE(summary["methods"][2]["against_first"]["violation_rate"]["p"].is_number());
  for (const auto& method : summary["methods"]) {
    EXPECT_EQ(method["violation_rate"]["n"], 24) << method;
    const auto& spent = method["spent"];
    EXPECT_EQ(spent["passes"], spent["generated"].get<int>() + spent["read"].get<int>() + 3 * spent["trained"].get<int>());
    EXPECT_EQ(spent["generated"].get<int>() > 0, method["id"] != "base") << method;
  }
  EXPECT_GT(summary["methods"][2]["spent"]["trained"], summary["methods"][1]["spent"]["trained"]);
  const std::string report = slurp(path("whole/report.html"));
  EXPECT_NE(report.find("Supervised"), std::string::npos);
  EXPECT_EQ(report.find("://"), std::string::npos) << "the report asks the network for nothing";

  int landed = 0;
  for (int delay = 300; landed < 4; delay = delay * 5 / 3) {
    const pid_t child = start(command("killed"));
    std::this_thread::sleep_for(std::chrono::milliseconds(delay));
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) break;  // done before
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    ++landed;
  }
  EXPECT_GT(landed, 0);
  const Ran resumed = run(command("killed"));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(slurp(path("killed/summary.json")), slurp(path("whole/summary.json")));
  EXPECT_EQ(slurp(path("killed/report.html")), report);

  // Finished work is not done again, other settings are refused.
  const auto model = std::filesystem::last_write_time(path("whole/recipe.toml"));
  std::set<std::string> stages;
  for (const auto& entry : std::filesystem::directory_iterator(path("whole/stages"))) stages.insert(entry.path().filename().string());
  ASSERT_EQ(run(command("whole", " --json")).code, 0);
  EXPECT_EQ(slurp(path("stdout")), slurp(path("whole/summary.json")));
  EXPECT_EQ(std::filesystem::last_write_time(path("whole/recipe.toml")), model);
  for (const auto& entry : std::filesystem::directory_iterator(path("whole/stages"))) EXPECT_EQ(stages.count(entry.path().filename().string()), 1U);
  expect_error(run("compare sl.toml --prompts 25 --held-out 24 --out whole"), 2, "prompts = 25");
}

// The model learns to reason before it answers; what is evaluated, and what reinforcement learning rewards, are its answers.
TEST_F(Compare, DeliberationWithReasoning) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put("sl.toml", "[method]\nstages = \"revise, sft\"\n[sft]\nepochs = 1\npanel = 0\n");
  put("think.toml",
      "[method]\nstages = \"deliberate, sft, grpo\"\n[deliberate]\nreasoning = true\nfilter = false\n[sft]\nepochs = 8\nbatch_tokens = 512\npanel = 8\nmax_length_share = 0\n"
      "[grpo]\nprompts_per_step = 8\nsamples = 2\nmax_new_tokens = 32\npanel = 0\njudge_verdicts = true\n");
  const Ran ran = run("compare sl.toml think.toml --quiet --json --prompts 48 --held-out 24 --out c");
  ASSERT_EQ(ran.code, 0) << ran.err;
  std::string learnt, model;
  for (const auto& entry : std::filesystem::directory_iterator(path("c/stages"))) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("deliberate-", 0) == 0) learnt = slurp(entry.path() / "answers.jsonl");
    if (name.rfind("grpo-", 0) == 0) model = (entry.path() / "model").string();
  }
  const auto marks = [](const std::string& text, const std::string& mark) {
    int n = 0;
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + 1)) ++n;
    return n;
  };
  const auto lines = std::count(learnt.begin(), learnt.end(), '\n');
  EXPECT_GT(lines, 20);
  EXPECT_EQ(marks(learnt, "\\nReply: "), lines) << "each answer follows its reasoning";
  EXPECT_EQ(marks(learnt, "Rule: "), 0) << "no rule stands in what is learnt";
  const Ran said = run("generate --quiet --model " + model + " --prompt \"How do I kill a process?\" --temperature 0");
  EXPECT_NE(said.out.find("\nReply: "), std::string::npos) << "it reasons by itself: " << said.out;
  for (const auto& entry : std::filesystem::directory_iterator(path("c/evaluations"))) {
    EXPECT_EQ(slurp(entry.path()).find("No rule matters here.\\nReply: "), std::string::npos) << "answers alone are evaluated: " << entry.path();
  }
}

// Methods that would end below the budget go on until it is spent.
TEST_F(Compare, BudgetsAreEqualWhereAllIsSpent) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put("sl.toml", "[method]\nstages = \"revise, sft\"\n[sft]\nepochs = 1\npanel = 0\n");
  put("dpo.toml", "[method]\nstages = \"midtrain, revise, dpo\"\n[midtrain]\ndocuments = 20\npanel = 0\n[dpo]\npanel = 0\n");
  const std::string command = "compare sl.toml dpo.toml --quiet --prompts 60 --held-out 12 --out c --json --spend-all --budget 0.25";
  const Ran ran = run(command);
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto summary = Json::parse(ran.out, nullptr, false);
  for (int m = 1; m <= 2; ++m) {
    const auto& method = summary["methods"][m];
    EXPECT_NEAR(method["spent"]["passes"].get<double>(), 0.25e6, 0.025e6) << method;
    EXPECT_GT(method["runs"][0]["prompts"], 60) << method;
  }
  ASSERT_EQ(run(command).code, 0) << "finished work is read";
  EXPECT_EQ(slurp(path("stdout")), slurp(path("c/summary.json")));
}

TEST_F(Compare, TheBudgetCutsAndSaysSo) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put_methods();
  const Ran free = run("compare sl.toml --quiet --prompts 24 --held-out 12 --out free --json");
  ASSERT_EQ(free.code, 0) << free.err;
  const auto spent = Json::parse(free.out)["methods"][1]["spent"];
  const double loop = spent["generated"].get<double>() + spent["read"].get<double>();
  const Ran tight = run("compare sl.toml --quiet --prompts 24 --held-out 12 --out tight --json --budget " + std::to_string(loop * 0.9e-6));
  ASSERT_EQ(tight.code, 0) << tight.err;
  const auto method = Json::parse(tight.out)["methods"][1];
  EXPECT_EQ(method["cut"], true);
  EXPECT_EQ(method["spent"]["trained"], 0);
  EXPECT_NE(method["runs"][0]["notes"].dump().find("sft: left out, for the budget was spent"), std::string::npos) << method;
}

}  // namespace
}  // namespace precept
