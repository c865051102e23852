#include "precept/evaluate/familiarity.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <gtest/gtest.h>

#include "fake_world.h"
#include "precept/core/io.h"
#include "precept/model/scripted_model.h"

namespace precept {
namespace {

// Two bits a byte.
Script two_bits() {
  Script script;
  script.on_score = [](const ScoreRequest& r) -> std::optional<Result<Scores>> {
    EXPECT_TRUE(r.raw);
    EXPECT_FALSE(r.messages[0].content.empty());
    Scores s;
    s.logprobs = {{-2 * std::log(2.0) * static_cast<double>(r.questions[0].options[0].size())}};
    s.usage.output_tokens = static_cast<std::int64_t>(r.questions[0].options[0].size() / 2);
    return Result<Scores>(s);
  };
  return script;
}

TEST(Perplexity, ByHand) {
  ScriptedModel model(two_bits());
  const auto p = perplexity(model, {"one two three!!", "word", "", "to be or not"});
  ASSERT_TRUE(p) << p.error().what;
  EXPECT_EQ(p->texts, 4);
  EXPECT_EQ(p->unscored, 2);
  EXPECT_EQ(p->bytes, 12 + 10);
  EXPECT_NEAR(*p->bits_per_byte, 2, 1e-12);
  EXPECT_NEAR(*p->per_token, 16, 1e-9);
  EXPECT_EQ(p->text_bits_per_byte.unscored, 2);
}

TEST(Perplexity, ScriptsWithoutSpacesAreScoredAfterTheirFirstCharacter) {
  ScriptedModel model(two_bits());
  const auto p = perplexity(model, {"\u4f60\u597d\u5417", "\u4f60"});
  ASSERT_TRUE(p) << p.error().what;
  EXPECT_EQ(p->unscored, 1) << "nothing follows the first character";
  EXPECT_EQ(p->bytes, 6);
}

Familiarity of(double text, std::optional<double> own) {
  Familiarity f;
  f.model = "m";
  f.prompts = 1800;
  f.text.texts = 200;
  f.text.bits_per_byte = text;
  if (own) {
    f.own.emplace();
    f.own->bits_per_byte = *own;
  }
  return f;
}

TEST(Familiarity, FarOutsideIsTwiceItsOwn) {
  EXPECT_EQ(of(3.1, 1.5).far_outside(), true);
  EXPECT_EQ(of(2.9, 1.5).far_outside(), false);
  EXPECT_DOUBLE_EQ(of(2.9, 1.5).threshold(), 3.0);
  EXPECT_EQ(of(2.9, 0.4).far_outside(), true) << "its own text decides, not a fixed figure";
}

TEST(Familiarity, WithoutOwnTextACompressorIsTheMeasure) {
  EXPECT_EQ(of(3.1, {}).far_outside(), true);
  EXPECT_EQ(of(2.9, {}).far_outside(), false);
  Familiarity unknown_own = of(3.1, 1.0);
  unknown_own.own->bits_per_byte.reset();
  EXPECT_DOUBLE_EQ(unknown_own.threshold(), kFarBits);
}

TEST(Familiarity, UndefinedIsUndefined) {
  Familiarity f = of(1, 1.0);
  f.text.bits_per_byte.reset();
  EXPECT_FALSE(f.far_outside().has_value());
  EXPECT_EQ(familiarity_warning(f), "");
  EXPECT_EQ(bits_text(f.text), "undefined");
}

TEST(Familiarity, TheWarningSaysFiguresAndThreshold) {
  const std::string warning = familiarity_warning(of(5.09, 1.54));
  for (const char* part : {"5.09", "1.54", "3.08", "far outside"}) EXPECT_NE(warning.find(part), std::string::npos) << part;
  EXPECT_EQ(familiarity_warning(of(1.6, 1.54)), "");
  EXPECT_NE(familiarity_warning(of(4, {})).find("compressor"), std::string::npos);
}

TEST(Familiarity, TheSampleDoesNotDependOnTheOrderOfTheFile) {
  std::vector<Prompt> prompts;
  for (int i = 0; i < 500; ++i) prompts.push_back(test::prompt("p" + std::to_string(i), "text " + std::to_string(i)));
  const auto some = sample_texts(prompts, 20);
  EXPECT_EQ(some.size(), 20U);
  std::reverse(prompts.begin(), prompts.end());
  EXPECT_EQ(sample_texts(prompts, 20), some);
  EXPECT_EQ(sample_texts(prompts, 1000).size(), 500U);
  std::vector<std::string> first;
  for (int i = 0; i < 20; ++i) first.push_back("text " + std::to_string(i));
  EXPECT_NE(some, first) << "not just the beginning of the file";
}

TEST(Familiarity, IsMeasuredAndComesBackFromItsFile) {
  ScriptedModel model(two_bits());
  const auto f = measure_familiarity(model, {"one two", "three four five"}, 900, {"six seven"});
  ASSERT_TRUE(f) << f.error().what;
  EXPECT_EQ(f->prompts, 900);
  EXPECT_EQ(f->text.texts, 2);
  EXPECT_EQ(f->own->texts, 1);
  EXPECT_EQ(f->far_outside(), false);
  const std::string path = (std::filesystem::temp_directory_path() /
                            ("precept-familiarity-" + std::to_string(::getpid()) + ".json")).string();
  ASSERT_TRUE(write_file(path, to_json(*f)));
  const auto back = load_familiarity(path);
  ASSERT_TRUE(write_file(path, "{\"prompts\": 3}"));
  EXPECT_FALSE(load_familiarity(path)) << "another file";
  std::filesystem::remove(path);
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(*f));
  ASSERT_TRUE(measure_familiarity(model, {"one two"}, 1, {}));
  EXPECT_FALSE(measure_familiarity(model, {"one two"}, 1, {})->own.has_value());
}

TEST(VerdictWarning, BeginsBeyondOneInFive) {
  EXPECT_EQ(verdict_warning({}), "");
  EXPECT_EQ(verdict_warning({100, 10, 90, 10}), "");
  const std::string warning = verdict_warning({100, 11, 89, 10});
  for (const char* part : {"21.0%", "11.0%", "10.0%", "0.1", "0.9", "20%"}) EXPECT_NE(warning.find(part), std::string::npos) << warning;
}

}  // namespace
}  // namespace precept
