// Every run of the loop says whether its prompts are text that the model knows, and exports what it would without.
// Runs the built program ($PRECEPT_BINARY).

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace precept {
namespace {

namespace fs = std::filesystem;

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class FamiliarityOfRuns : public testing::Test {
 protected:
  void SetUp() override {
    const char* binary = std::getenv("PRECEPT_BINARY");
    ASSERT_NE(binary, nullptr) << "PRECEPT_BINARY names the program to test (ctest sets it)";
    binary_ = binary;
    std::string pattern = (fs::temp_directory_path() / "precept_familiarity_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    put("prompts.jsonl", "{\"id\":\"a\",\"prompt\":\"Say something.\"}\n{\"id\":\"b\",\"prompt\":\"Say more.\"}\n");
    put("good.toml", "[constitution]\nname = \"n\"\n[[principle]]\nid = \"kind\"\ntext = \"Be kind.\"\n");
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  // A model that judges, and gives " something." (11 bytes) and " more." (6) so many nats.
  void put_script(double nats) const {
    put("script.jsonl", "{\"name\":\"s\"}\n{\"match\":\"\",\"scores\":{\"yes\":-0.01,\"no\":-5,\" something.\":" +
                            std::to_string(-nats) + ",\" more.\":" + std::to_string(-nats) + "}}\n{\"match\":\"\",\"reply\":\"Hello.\"}\n");
  }
  // Stdout of the program; the exit code must be 0.
  std::string run(const std::string& arguments) const {
    const std::string command = "cd '" + folder_.string() + "' && '" + binary_ + "' " + arguments + " > out 2> err";
    EXPECT_EQ(std::system(command.c_str()), 0) << slurp(folder_ / "err");
    return slurp(folder_ / "out");
  }
  std::string revise() const {
    return run("revise --model scripted:script.jsonl --constitution good.toml --prompts prompts.jsonl --run r --max-rounds 1");
  }

  fs::path folder_;
  std::string binary_;
};

TEST_F(FamiliarityOfRuns, AreMeasuredOnceAndShownEverywhere) {
  put_script(60);
  const std::string printed = revise();
  EXPECT_NE(printed.find("warning: These prompts lie far outside"), std::string::npos) << printed;
  EXPECT_NE(printed.find("verdicts of judge: 4, 0% unparseable"), std::string::npos) << printed;
  EXPECT_NE(slurp(folder_ / "err").find("far outside"), std::string::npos) << "said before the work begins";
  const auto summary = nlohmann::json::parse(slurp(folder_ / "r/summary.json"));
  EXPECT_NEAR(summary["familiarity"]["text"]["bits_per_byte"].get<double>(), 120 / 17.0 / std::log(2.0), 1e-9);
  EXPECT_TRUE(summary["familiarity"]["far_outside"].get<bool>());
  EXPECT_TRUE(summary["familiarity"]["own"].is_null()) << "nobody knows this model's own world";
  EXPECT_EQ(summary["loop"]["verdicts"]["judge"]["n"].get<int>(), 4);
  run("report --run r");
  EXPECT_NE(slurp(folder_ / "r/report.html").find("<aside class=\"warning\">"), std::string::npos);
  const auto written = fs::last_write_time(folder_ / "r/familiarity.json");
  const std::string traces = run("export --what traces --run r");
  EXPECT_EQ(revise(), printed) << "a finished run is what it was";
  EXPECT_EQ(fs::last_write_time(folder_ / "r/familiarity.json"), written) << "it is measured once";
  EXPECT_EQ(run("export --what traces --run r"), traces);
}

TEST_F(FamiliarityOfRuns, AreQuietAboutTextThatIsKnown) {
  put_script(5);
  EXPECT_EQ(revise().find("warning"), std::string::npos);
  run("report --run r");
  const std::string page = slurp(folder_ / "r/report.html");
  EXPECT_EQ(page.find("<aside class=\"warning\">"), std::string::npos);
  EXPECT_NE(page.find("id=\"familiarity\""), std::string::npos);
}

// A model without scores cannot be asked; what can be counted is how many of its verdicts could be read.
TEST_F(FamiliarityOfRuns, OfAModelWithoutScoresAreItsVerdicts) {
  put("script.jsonl", "{\"name\":\"s\",\"can_score\":false}\n{\"match\":\"\",\"reply\":\"Hm.\"}\n");
  const std::string printed = revise();
  EXPECT_NE(printed.find("verdicts of judge: 2, 100% unparseable"), std::string::npos) << printed;
  EXPECT_NE(printed.find("warning: 100% of the judge's verdicts decide little"), std::string::npos) << printed;
  EXPECT_FALSE(fs::exists(folder_ / "r/familiarity.json"));
  EXPECT_NE(printed.find("prompts: whether the model knows such text is not measured"), std::string::npos) << printed;
  run("report --run r");
  EXPECT_NE(slurp(folder_ / "r/report.html").find("Here it could not be measured"), std::string::npos);
}

// The sample is drawn beside the loop: with it or without, the exports are the same.
TEST_F(FamiliarityOfRuns, DoNotChangeTheExports) {
  put_script(60);
  revise();
  const std::string with = run("export --what traces --run r");
  fs::remove_all(folder_ / "r");
  fs::create_directory(folder_ / "r");
  put("r/familiarity.json", "{\"model\":\"m\",\"prompts\":2,\"text\":{}}");  // there already: not measured
  revise();
  EXPECT_EQ(run("export --what traces --run r"), with);
}

TEST_F(FamiliarityOfRuns, RealConversationsAreOutsideOfThePocketWorld) {
  const char* named = std::getenv("PRECEPT_TESTDATA");
  const fs::path data = named ? named : "../shared/data";
  const fs::path pairs = fs::absolute(data / "hh-rlhf/harmless-pairs.jsonl.gz");
  if (!fs::exists(pairs)) GTEST_SKIP() << "no " << pairs << " (PRECEPT_TESTDATA names the folder)";
  if (!fs::exists(fs::path(binary_).parent_path() / "libprecept_lm.so")) GTEST_SKIP() << "built without language models";
  run("pocket prompts --split held-out --count 8 --out own.jsonl");
  run("revise --model pocket --prompts own.jsonl --run own --draft-max-tokens 8 --max-rounds 0");
  EXPECT_FALSE(nlohmann::json::parse(slurp(folder_ / "own/summary.json"))["familiarity"]["far_outside"].get<bool>());
  const std::string some = "gzip -dc '" + pairs.string() + "' | head -n 8 > '" + (folder_ / "real.jsonl").string() + "'";
  ASSERT_EQ(std::system(some.c_str()), 0);
  run("revise --model pocket --hh-rlhf --prompts real.jsonl --run real --draft-max-tokens 8 --max-rounds 0");
  EXPECT_TRUE(nlohmann::json::parse(slurp(folder_ / "real/summary.json"))["familiarity"]["far_outside"].get<bool>());
}

}  // namespace
}  // namespace precept
