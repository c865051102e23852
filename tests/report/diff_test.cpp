#include "precept/report/diff.h"

#include <gtest/gtest.h>

#include "precept/core/rng.h"

namespace precept {
namespace {
using Kind = DiffPart::Kind;

std::string marked(const std::string& before, const std::string& after) {
  std::string out;
  for (const DiffPart& part : word_diff(before, after)) {
    out += part.kind == Kind::kSame ? part.text : (part.kind == Kind::kRemoved ? "[-" : "[+") + part.text + "]";
  }
  return out;
}

void expect_whole(const std::string& before, const std::string& after) {
  std::string b, a;
  for (const DiffPart& part : word_diff(before, after)) {
    if (part.kind != Kind::kAdded) b += part.text;
    if (part.kind != Kind::kRemoved) a += part.text;
  }
  EXPECT_EQ(b, before);
  EXPECT_EQ(a, after);
}

TEST(Diff, MarksWords) {
  EXPECT_EQ(marked("the cat sat here", "the dog sat here"), "the [-cat][+dog] sat here");
  EXPECT_EQ(marked("same", "same"), "same");
  EXPECT_EQ(marked("", "new"), "[+new]");
  EXPECT_EQ(marked("old", ""), "[-old]");
  EXPECT_EQ(marked("I can not help you today", "I can help you today"), "I can [-not ]help you today");
}

TEST(Diff, SwallowsCrumbsBetweenChanges) {
  EXPECT_EQ(marked("we said red, green and then left the room", "we said blue, black and then left the room"),
            "we said [-red, green][+blue, black] and then left the room");
}

TEST(Diff, GivesUpOnTextsThatShareNothing) {
  EXPECT_EQ(marked("one two three four five six the", "ab cd ef gh ij kl the"),
            "[-one two three four five six the][+ab cd ef gh ij kl the]");
}

TEST(Diff, MarksSingleIdeographs) {
  EXPECT_EQ(marked("\xE6\x88\x91\xE7\x88\xB1\xE7\x8C\xAB", "\xE6\x88\x91\xE7\x88\xB1\xE7\x8B\x97"),
            "\xE6\x88\x91\xE7\x88\xB1[-\xE7\x8C\xAB][+\xE7\x8B\x97]");
}

TEST(Diff, LosesNothing) {
  Rng rng({3, 1, 4, 1});
  const std::vector<std::string> pieces = {"a", "b", " ", ", ", "word", "\n", "\xFF", "\xE4\xB8\xAD", "\xE4", "'", "<i>"};
  for (int round = 0; round < 300; ++round) {
    std::string x, y;
    for (std::uint64_t i = rng.below(25); i > 0; --i) x += rng.pick(pieces);
    for (std::uint64_t i = rng.below(25); i > 0; --i) y += rng.pick(pieces);
    expect_whole(x, y);
  }
}

TEST(Diff, IsBoundedOnHugeTexts) {
  std::string x, y;
  for (int i = 0; i < 200000; ++i) {
    x += "a ";
    y += "b ";
  }
  EXPECT_EQ(word_diff(x, y).size(), 2u);
  std::string m, n;  // below the limit in bytes, above it in tokens
  for (int i = 0; i < 2500; ++i) {
    m += "a ";
    n += "a b ";
  }
  EXPECT_EQ(word_diff(m, n).size(), 2u);
}

}  // namespace
}  // namespace precept
