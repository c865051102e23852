#include "precept/constitution/recipe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "precept/core/rng.h"

namespace precept {
namespace {

struct Loop {
  std::string model = "pocket";
  int rounds = 4;
  std::uint64_t seed = 1;
  double lr = 0.001;
  bool always = false;
  std::string selection = "applicable";
  std::string run;
  int threads = 0;
};

template <class Visit>
void for_each_field(Loop& o, Visit visit) {
  visit("model", o.model, "which model");
  visit("max_rounds", o.rounds, "how often", between(0, 100));
  visit("seed", o.seed, "of all", any_seed());
  visit("lr", o.lr, "how fast", above(0, 10));
  visit("always", o.always, "or not");
  visit("selection", o.selection, "which principles", one_of({"applicable", "random"}));
  visit("run", o.run, "folder", beside());
  visit("threads", o.threads, "threads", beside(between(0, 1024)));
}

struct Other {
  int epochs = 3;
  int prompts = 10;
  std::string judge;
};

template <class Visit>
void for_each_field(Other& o, Visit visit) {
  visit("epochs", o.epochs, "passes", between(1, 100));
  visit("prompts", o.prompts, "how many");
  visit("judge", o.judge, "which judge");
}

class Recipe : public testing::Test {
 protected:
  void SetUp() override {
    path_ = (std::filesystem::temp_directory_path() / ("precept_recipe_" + std::to_string(::getpid()) + ".toml")).string();
  }
  void TearDown() override { std::filesystem::remove(path_); }

  Status read(const std::string& text, const std::set<std::string>& given = {}) {
    std::ofstream(path_, std::ios::binary) << text;
    return read_recipe(path_, {{"loop", fields_of(loop_)}, {"other", fields_of(other_)}}, "loop", given);
  }

  // "LINE: what | hint", or empty.
  std::string refusal(const std::string& text) {
    const Status status = read(text);
    if (status) return "";
    EXPECT_EQ(status.error().file, path_);
    EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
    return std::to_string(status.error().line) + ": " + status.error().what + " | " + status.error().hint;
  }

  std::string path_;
  Loop loop_;
  Other other_;
};

TEST_F(Recipe, SetsWhatItNames) {
  ASSERT_TRUE(read("model = \"m\"\n[loop]\nmax_rounds = 2\nlr = 1\nalways = true\nselection = \"random\"\n"
                   "seed = 9000000000000000000\nrun = \"r\"\nthreads = 3\n[other]\nepochs = 7\n"));
  EXPECT_EQ(loop_.model, "m");
  EXPECT_EQ(loop_.rounds, 2);
  EXPECT_EQ(loop_.lr, 1.0);
  EXPECT_TRUE(loop_.always);
  EXPECT_EQ(loop_.selection, "random");
  EXPECT_EQ(loop_.seed, 9'000'000'000'000'000'000U);
  EXPECT_EQ(loop_.run, "r");
  EXPECT_EQ(loop_.threads, 3);
  EXPECT_EQ(other_.epochs, 3) << "another command's table sets nothing here";
}

TEST_F(Recipe, TheOwnTableWinsOverKeysAboveAndFlagsOverBoth) {
  ASSERT_TRUE(read("seed = 5\nmodel = \"above\"\nmax_rounds = 9\n[loop]\nseed = 6\nmodel = \"own\"\n", {"model"}));
  EXPECT_EQ(loop_.seed, 6U);
  EXPECT_EQ(loop_.rounds, 9);
  EXPECT_EQ(loop_.model, "pocket");
}

TEST_F(Recipe, KeysAboveMayBeOfOtherCommands) {
  EXPECT_EQ(refusal("judge = \"j\"\nseed = 2\n[loop]\n"), "");
  EXPECT_EQ(loop_.seed, 2U);
}

TEST_F(Recipe, UnknownKeysAndTables) {
  EXPECT_EQ(refusal("[loop]\nseed = 1\nmax_round = 3\n"), "3: unknown key \"max_round\" in [loop] | did you mean \"max_rounds\"?");
  EXPECT_EQ(refusal("max_rouns = 3\n[loop]\n"), "1: unknown key \"max_rouns\" | did you mean \"max_rounds\"?");
  EXPECT_EQ(refusal("\n[lop]\nseed = 1\n"), "2: unknown table [lop] | did you mean \"loop\"?");
  EXPECT_EQ(refusal("[loop]\n[other]\nepoch = 1\n"), "3: unknown key \"epoch\" in [other] | did you mean \"epochs\"?");
  EXPECT_EQ(refusal("[loop]\n[loop.deeper]\nseed = 1\n").substr(0, 41), "2: unknown key \"deeper\" in [loop] | known");
}

TEST_F(Recipe, WrongTypes) {
  EXPECT_EQ(refusal("[loop]\nmax_rounds = \"four\"\n"),
            "2: max_rounds must be a whole number, found a string | write digits alone, without quotes");
  EXPECT_EQ(refusal("[loop]\nmax_rounds = 1.5\n"),
            "2: max_rounds must be a whole number, found a number with a fraction | write digits alone, without quotes");
  EXPECT_EQ(refusal("[loop]\nlr = true\n"),
            "2: lr must be a number, found true or false | write a number such as 0.5, without quotes");
  EXPECT_EQ(refusal("[loop]\nalways = 1\n"), "2: always must be true or false, found a number | write true or false, without quotes");
  EXPECT_EQ(refusal("[loop]\nmodel = [\"a\"]\n"), "2: model must be a string, found a list | put the text in quotes");
  EXPECT_EQ(refusal("loop = 3\n"),
            "1: loop must be a table, found a number | write [loop] on a line of its own, and its keys below");
  EXPECT_EQ(refusal("[loop]\n[other]\nepochs = 2020-01-01\n"),
            "3: epochs must be a whole number, found a date or time | write digits alone, without quotes");
}

TEST_F(Recipe, ValuesOutOfRange) {
  EXPECT_EQ(refusal("[loop]\nmax_rounds = 101\n"), "2: max_rounds is 101 | use 0 to 100");
  EXPECT_EQ(refusal("[loop]\nseed = -1\n").substr(0, 14), "2: seed is -1 ");
  EXPECT_EQ(refusal("[loop]\nlr = inf\n"), "2: lr is inf | use more than 0, at most 10");
  EXPECT_EQ(refusal("[loop]\nselection = \"all\"\n"), "2: selection is \"all\" | use applicable or random");
  EXPECT_EQ(refusal("[loop]\n[other]\nprompts = 3000000000\n"), "3: prompts is 3000000000 | use -2147483648 to 2147483647");
  EXPECT_EQ(refusal("[loop]\nmodel = \"a\\u0000b\"\n"), "2: model holds a NUL character | remove \\u0000");
}

TEST_F(Recipe, FilesThatAreNoRecipe) {
  EXPECT_EQ(refusal("[loop]\nmax_rounds = \n").substr(0, 12), "2: not TOML:");
  EXPECT_EQ(refusal("[loop]\nseed = 1\nseed = 2\n").substr(0, 12), "3: not TOML:");
  EXPECT_EQ(refusal("[loop]\nmodel = \"caf\xE9\"\n").substr(0, 11), "2: not UTF-");
  EXPECT_EQ(refusal("x = " + std::string(65, '[')).substr(0, 21), "1: nested too deeply ");
  EXPECT_EQ(refusal("[other]\nepochs = 1\n"),
            "0: this recipe says nothing about [loop] | add a table [loop], or give the recipe to the command that it is of");
  EXPECT_EQ(refusal(""), "0: this recipe says nothing about [loop] | add a table [loop], or give the recipe to the command that it is of");
  EXPECT_FALSE(read_recipe(path_ + ".missing", {{"loop", fields_of(loop_)}}, "loop"));
}

TEST_F(Recipe, TheFirstProblemOfTheFileIsToldAndNothingIsSet) {
  EXPECT_EQ(refusal("[loop]\nseed = 7\nmax_rounds = 101\nalways = 1\n"), "3: max_rounds is 101 | use 0 to 100");
  EXPECT_EQ(loop_.seed, 1U);
}

// What a run writes is read back as the same options.
TEST_F(Recipe, WrittenAndReadBackIsEqual) {
  const std::vector<std::string> texts = {"", "plain", "with \"quotes\" and \\", "tab\tand\nline", "\x01\x7F", "caf\xC3\xA9 \xF0\x9F\x98\x80",
                                          "# no comment", "a = 'b'"};
  Rng rng({3, 0, 0, 0});
  for (int round = 0; round < 300; ++round) {
    Loop made;
    made.model = texts[rng.below(texts.size())];
    made.rounds = static_cast<int>(rng.below(101));
    made.seed = rng.below(9'000'000'000'000'000'000U);
    made.lr = 10 * (1 - rng.uniform()) * std::pow(10.0, -static_cast<double>(rng.below(20)));
    made.always = rng.chance(0.5);
    made.selection = rng.chance(0.5) ? "random" : "applicable";
    made.run = "elsewhere";
    loop_ = {};
    const Status status = read(recipe_text({"loop", fields_of(made)}, "one\ntwo"));
    ASSERT_TRUE(status) << status.error().message();
    ASSERT_EQ(recipe_changes(fields_of(made), fields_of(loop_)), std::vector<std::string>());
    ASSERT_EQ(loop_.model, made.model);
    ASSERT_EQ(loop_.lr, made.lr);
    ASSERT_EQ(loop_.run, "") << "where a run lies is not part of its recipe";
  }
}

TEST_F(Recipe, ChangesNameBothSides) {
  Loop other = loop_;
  other.rounds = 2;
  other.threads = 7;
  EXPECT_TRUE(same_recipe(fields_of(loop_), fields_of(loop_), "recipe.toml"));
  const Status refused = same_recipe(fields_of(loop_), fields_of(other), "recipe.toml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().file, "recipe.toml");
  EXPECT_NE(refused.error().what.find("began with another recipe: ["), std::string::npos) << refused.error().what;
  EXPECT_EQ(recipe_changes(fields_of(loop_), fields_of(other)),
            (std::vector<std::string>{"was: max_rounds = 4", "now: max_rounds = 2"}));
}

}  // namespace
}  // namespace precept
