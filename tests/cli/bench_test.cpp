// precept bench, as far as it can be checked without a clock: what it says, and that its numbers agree with each other.

#include <regex>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

using Json = nlohmann::json;

class BenchCommandTest : public ProgramTest {
 protected:
  Json json_of(const std::string& arguments) {
    const Ran ran = run("bench " + arguments + " --quiet --json");
    EXPECT_EQ(ran.code, 0) << ran.err;
    return Json::parse(ran.out, nullptr, false);
  }
  std::string text_of(const std::string& arguments) {
    const Ran ran = run("bench " + arguments + " --quiet");
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.out;
  }

  // Every key is one that docs/formats.md names, in its part on measurements.
  static void expect_documented(const Json& json) {
    const char* root = std::getenv("PRECEPT_SOURCE");
    const std::string all = slurp(std::filesystem::path(root == nullptr ? "." : root) / "docs/formats.md");
    const std::size_t begin = all.find("## Measurements"), end = all.find("\n## ", begin + 1);
    ASSERT_LT(begin, end);
    const std::string part = all.substr(begin, end - begin);
    const auto look = [&part](const auto& self, const Json& value) -> void {
      for (const auto& [key, inner] : value.items()) {
        if (value.is_object() && part.find("`" + key + "`") == std::string::npos) ADD_FAILURE() << key << " is not in docs/formats.md";
        if (inner.is_structured()) self(self, inner);
      }
    };
    look(look, json);
  }

  // The keys are there, and numbers above zero.
  static void expect_positive(const Json& json, const std::vector<std::string>& keys) {
    for (const std::string& key : keys) {
      ASSERT_TRUE(json.contains(key)) << key;
      ASSERT_TRUE(json[key].is_number()) << key << ": " << json[key];
      EXPECT_GT(json[key].get<double>(), 0) << key;
    }
  }
  // To the rounding of doubles: numbers are printed with all of their digits.
  static void expect_same(double a, double b, const char* what) { EXPECT_NEAR(a, b, 1e-9 * std::abs(b)) << what; }
};

const std::string kRoofText = "roof: products [1-9][0-9]* GFLOP/s, memory [0-9]+[.][0-9] GB/s\n";

TEST_F(BenchCommandTest, RoofGivesBothLimits) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  for (const std::string precision : {"bf16", "fp32"}) {
    const auto json = json_of("roof --threads 1 --precision " + precision);
    ASSERT_TRUE(json.contains("roof"));
    expect_positive(json["roof"], {"gemm_gflops", "memory_gbps"});
    expect_documented(json);
  }
  EXPECT_TRUE(std::regex_match(text_of("roof --threads 1"), std::regex(kRoofText)));
  expect_error(run("bench roof --precision fp8"), 2);
}

TEST_F(BenchCommandTest, QueueServesFewThenManyThenFew) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("queue --requests 60 --first 20 --tokens 2 --cache-mb 4");
  ASSERT_EQ(json["runs"].size(), 3u);
  for (const std::size_t i : {0u, 1u, 2u}) {
    const auto& one = json["runs"][i];
    EXPECT_EQ(one["requests"], i == 1 ? 60 : 20);
    EXPECT_GT(one["requests_per_s"], 0);
    EXPECT_GE(one["resident_mb"]["most_while_served"], one["resident_mb"]["queued"]);
  }
  expect_documented(json);
}

TEST_F(BenchCommandTest, ACrowdIsAnsweredOrGivenUp) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("queue --minutes 0.02 --cache-mb 4");
  EXPECT_GT(json["answered"], 0);
  EXPECT_GE(json["answered"].get<int>() + json["given_up_or_late"].get<int>(), 2000);  // as many were in flight
  expect_documented(json);
}

TEST_F(BenchCommandTest, EngineMeasuresEveryLengthForEveryCount) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("engine --shape pocket --sequences 1,3 --prompt 8,40 --tokens 4 --turns 2 --prefill 16 --threads 1");
  ASSERT_EQ(json["decode"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto& one = json["decode"][i];
    EXPECT_EQ(one["sequences"], i < 2 ? 1 : 3);
    EXPECT_EQ(one["prompt"], i % 2 == 0 ? 8 : 40);
    EXPECT_NEAR(one["step_ms"].get<double>() * one["tokens_per_s"].get<double>(), 1e3 * one["sequences"].get<double>(), 1e-6 * 1e3);
  }
  // The weights once a step, and keys and values of every sequence: 32 more positions of each.
  const auto mb = [&](std::size_t i) { return json["decode"][i]["step_mb"].get<double>(); };
  EXPECT_NEAR(mb(3) - mb(2), 3 * (mb(1) - mb(0)), 1e-9);
  EXPECT_GT(mb(1), mb(0));
}

// Each share is of what docs/formats.md says, counted once more from the shape: 2 operations a weight and token, and what a step reads.
TEST_F(BenchCommandTest, EngineGivesSharesOfWhatItMeasured) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  constexpr double kLayers = 6, kHead = 192.0 * 2048, kProducts = kLayers * (4 * 192.0 * 192 + 3 * 192.0 * 512);  // of the pocket shape
  for (const std::string options : {"bf16", "fp32 --weights int8"}) {
    const auto json = json_of("engine --shape pocket --sequences 1,2 --prompt 8 --tokens 4 --prefill 16 --threads 1 --precision " + options);
    ASSERT_TRUE(json.is_object());
    expect_positive(json["roof"], {"gemm_gflops", "memory_gbps"});
    expect_positive(json["prefill"], {"tokens_per_s", "share_of_gemm_roof"});
    expect_positive(json, {"threads", "parameters"});
    EXPECT_EQ(json["parameters"].get<double>(), kProducts + kHead);
    EXPECT_EQ(json["threads"], 1);
    EXPECT_EQ(json["precision"], options.substr(0, 4));
    EXPECT_EQ(json["weights"], options.size() == 4 ? "auto" : "int8");
    const double gflops = json["roof"]["gemm_gflops"];
    expect_same(json["prefill"]["share_of_gemm_roof"], json["prefill"]["tokens_per_s"].get<double>() * 2 * kProducts / 1e9 / gflops, "prefill");
    ASSERT_EQ(json["decode"].size(), 2u);
    for (const Json& one : json["decode"]) {
      expect_positive(one, {"sequences", "prompt", "tokens_per_s", "step_ms", "step_mb", "share_of_gemm_roof", "share_of_memory_roof", "memory_gbps",
                            "seconds", "prompt_seconds"});
      const double sequences = one["sequences"], tokens_per_s = one["tokens_per_s"], value = json["precision"] == "fp32" ? 4 : 2;
      const double step_mb = one["step_mb"], step_ms = one["step_ms"];
      expect_same(tokens_per_s * one["seconds"].get<double>(), 4 * sequences, "tokens after the first, in the time they took");
      expect_same(one["share_of_gemm_roof"], tokens_per_s * 2 * (kProducts + kHead) / 1e9 / gflops, "share of products");
      expect_same(one["share_of_memory_roof"], step_mb / step_ms / one["memory_gbps"].get<double>(), "share of memory");
      const double positions = 8 + 0.5 * 4, weight = json["weights"] == "int8" ? 1 : value;
      expect_same(step_mb, ((kProducts + kHead) * weight + 2 * 192 * kLayers * positions * sequences * value) / 1e6, "what a step reads");
    }
    expect_documented(json);
  }
}

TEST_F(BenchCommandTest, EngineSaysTheSameInWords) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string text = text_of("engine --shape pocket --sequences 1,2 --prompt 8 --tokens 4 --prefill 16 --threads 1 --weights int8");
  const std::string share = " +[0-9]+% of ", per_s = " +[1-9][0-9]* tokens/s,", gbps = " [(][0-9]+[.][0-9] GB/s[)]\n";
  const std::string decode = ", prompts of    8" + per_s + share + "the product roof," + share + "what memory gave meanwhile" + gbps;
  const std::string settings = "bf16, 8-bit weights, [a-z0-9-]+ kernels, 1 threads, 3[.]0 million weights that multiply\n";
  const std::string prefill = "prefill" + per_s + share + "the product roof\n";
  const std::regex all(kRoofText + settings + prefill + "decode,   1 sequences" + decode + "decode,   2 sequences" + decode);
  EXPECT_TRUE(std::regex_match(text, all)) << text;
}

TEST_F(BenchCommandTest, LoopSaysHowItemsEnded) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("loop --items 8");
  int items = 0;
  for (const auto& [ending, count] : json["endings"].items()) items += count.get<int>();
  EXPECT_EQ(items, 8);
  EXPECT_EQ(json["endings"]["failed"], 0);
  EXPECT_EQ(json["endings"]["unparseable"], 0);
}

TEST_F(BenchCommandTest, LoopCountsTokensAndTime) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto json = json_of("loop --items 6 --threads 1");
  expect_positive(json, {"items", "calls", "seconds", "items_per_s", "tokens_per_s", "reused_of_shareable", "time_outside_the_model"});
  expect_positive(json["tokens"], {"needed", "reused", "computed", "new_or_scored", "shareable"});
  const auto tokens = [&json](const char* name) { return json["tokens"][name].get<double>(); };
  const double seconds = json["seconds"];
  EXPECT_EQ(json["items"], 6);
  EXPECT_GE(json["calls"], 3 * 6);  // selecting, a draft and its judgment
  EXPECT_EQ(tokens("needed"), tokens("reused") + tokens("computed"));
  expect_same(json["items_per_s"].get<double>() * seconds, 6, "items");
  expect_same(json["tokens_per_s"].get<double>() * seconds, tokens("computed") + tokens("new_or_scored"), "tokens");
  expect_same(json["reused_of_shareable"].get<double>() * tokens("shareable"), tokens("reused"), "reused");
  EXPECT_LE(tokens("reused"), tokens("shareable"));
  EXPECT_LT(tokens("shareable"), tokens("needed"));
  EXPECT_LT(json["time_outside_the_model"], 1);
  expect_documented(json);
}

// A model that does not run here has no cache to share: no share of nothing is told.
TEST_F(BenchCommandTest, LoopOfAScriptSharesNothing) {
  const auto json = json_of("loop --model scripted:script.jsonl --prompts prompts.jsonl --constitution good.toml");
  EXPECT_EQ(json["items"], 2);
  EXPECT_EQ(json["tokens"]["shareable"], 0);
  EXPECT_EQ(json["tokens"]["reused"], 0);
  EXPECT_TRUE(json["reused_of_shareable"].is_null()) << json;
  expect_documented(json);
}

TEST_F(BenchCommandTest, LoopSaysTheSameInWords) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string text = text_of("loop --items 4");
  std::string all =
      "4 items, N calls in R s: R items/s\n"
      "N complied at once, N revised, N unsettled, 0 unparseable, 0 failed\n"
      "tokens of prompts: N needed, N reused, N computed; N new or scored; N tokens/s computed\n"
      "R% of what could be shared was reused\n"
      "R% of the time passed outside the model\n";
  all = std::regex_replace(std::regex_replace(all, std::regex("R"), "[0-9]+[.][0-9]"), std::regex("N"), "[0-9]+");
  EXPECT_TRUE(std::regex_match(text, std::regex(all))) << text;
}

}  // namespace
}  // namespace precept
