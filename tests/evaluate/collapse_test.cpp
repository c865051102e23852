#include "precept/evaluate/collapse.h"

#include <gtest/gtest.h>

namespace precept {
namespace {

TEST(Collapse, DistinctByHand) {
  // Words: a b a b | a b: 2 distinct of 6; pairs ab ba ab | ab: 2 of 4; triples aba bab: 2 of 2.
  const CollapseSigns s = collapse_signs({"a b a b", "a  b\n"}, {true, false});
  EXPECT_DOUBLE_EQ(*s.distinct_1, 2.0 / 6);
  EXPECT_DOUBLE_EQ(*s.distinct_2, 2.0 / 4);
  EXPECT_DOUBLE_EQ(*s.distinct_3, 1.0);
  EXPECT_DOUBLE_EQ(*s.truncated.value, 0.5);
  EXPECT_DOUBLE_EQ(*s.mean_words.value, 3);
}

TEST(Collapse, RepeatedEndings) {
  const CollapseSigns s = collapse_signs({"first, one two three four five", "other one two three four five",
                                          "quite another ending of all this", "short"},
                                         std::vector<bool>(4));
  EXPECT_EQ(s.repeated_endings.n, 3);
  EXPECT_EQ(s.repeated_endings.unscored, 1);
  EXPECT_DOUBLE_EQ(*s.repeated_endings.value, 2.0 / 3);
}

TEST(Collapse, LoopsAtTheEnd) {
  EXPECT_TRUE(ends_in_a_loop(split_words("so I said the cat sat the cat sat the cat sat")));
  EXPECT_TRUE(ends_in_a_loop(split_words("yes yes yes yes")));
  EXPECT_FALSE(ends_in_a_loop(split_words("no, no, no")));
  EXPECT_FALSE(ends_in_a_loop(split_words("the cat sat the cat sat on the mat")));
  EXPECT_FALSE(ends_in_a_loop({}));
}

TEST(Collapse, EmptyAnswersAndNoAnswers) {
  const CollapseSigns blank = collapse_signs({"", " \n"}, {false, false});
  EXPECT_DOUBLE_EQ(*blank.empty.value, 1);
  EXPECT_FALSE(blank.distinct_1);
  EXPECT_DOUBLE_EQ(*blank.mean_words.value, 0);
  EXPECT_FALSE(collapse_signs({}, {}).empty.value);
}

}  // namespace
}  // namespace precept
