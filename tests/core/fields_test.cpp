#include "precept/core/fields.h"

#include <gtest/gtest.h>

#include <limits>

namespace precept {
namespace {

struct Options {
  int rounds = 4;
  std::uint64_t seed = 1;
  double share = 0.5;
  bool always = false;
  std::string way = "this";
  int threads = 2;
  int free = 0;
};

template <class Visit>
void for_each_field(Options& o, Visit visit) {
  visit("rounds", o.rounds, "how often", between(0, 100));
  visit("the_seed", o.seed, "of all", any_seed());
  visit("share", o.share, "in (0, 1]", above(0, 1));
  visit("always", o.always, "or not");
  visit("way", o.way, "which", one_of({"this", "that"}));
  visit("threads", o.threads, "how fast", beside(between(0, 8)));
  visit("free", o.free, "any number");
}

std::string refusal(const Options& options, bool as_flags = false) {
  Options copy = options;
  const Status fine = check_fields(fields_of(copy), as_flags);
  return fine ? "" : fine.error().what + " | " + fine.error().hint;
}

TEST(Fields, EachRuleRefusesWithWhatItAllows) {
  EXPECT_EQ(refusal({}), "");
  Options o;
  o.rounds = 101;
  EXPECT_EQ(refusal(o), "rounds is 101 | use 0 to 100");
  o = {};
  o.share = 0;
  EXPECT_EQ(refusal(o), "share is 0.0 | use more than 0, at most 1");
  o.share = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(refusal(o), "share is nan | use more than 0, at most 1");
  o = {};
  o.way = "thus";
  EXPECT_EQ(refusal(o, true), "--way is \"thus\" | use this or that");
  o = {};
  o.seed = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(refusal(o, true).substr(0, 34), "--the-seed is 18446744073709551615");
  o = {};
  o.free = std::numeric_limits<int>::min();
  EXPECT_EQ(refusal(o), "");
}

TEST(Fields, BoundsAreIncluded) {
  Options o;
  for (const int rounds : {0, 100}) {
    o.rounds = rounds;
    EXPECT_EQ(refusal(o), "");
  }
  o.share = 1;
  EXPECT_EQ(refusal(o), "");
}

TEST(Fields, RecipeLinesHoldWhatDecidesTheResult) {
  Options o;
  o.way = "a \"quoted\"\n\x7F path";
  EXPECT_EQ(recipe_lines(fields_of(o)),
            "rounds = 4  # how often\nthe_seed = 1  # of all\nshare = 0.5  # in (0, 1]\nalways = false  # or not\n"
            "way = \"a \\\"quoted\\\"\\u000A\\u007F path\"  # which\nfree = 0  # any number\n");
}

TEST(Fields, NumbersAreWrittenAsShortAsTheyReadBack) {
  EXPECT_EQ(toml_value(0.1), "0.1");
  EXPECT_EQ(toml_value(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(toml_value(3.0), "3.0");
  EXPECT_EQ(toml_value(1e-300), "1e-300");
}

}  // namespace
}  // namespace precept
