// Splitters written by hand, against their regular expressions.

#include <gtest/gtest.h>
#include <utf8proc.h>

#include "precept/text/fast_split.h"
#include "precept/text/pattern.h"
#include "precept/text/stream.h"
#include "text_support.h"

namespace precept {
namespace {

std::vector<std::string> by_hand(SplitFamily family, std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = piece_end(family, text, at);
    if (end <= at || end > text.size()) return {"no progress at " + std::to_string(at)};
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

std::vector<std::string> by_pattern(const Pattern& pattern, std::string_view text) {
  std::vector<std::string> out;
  for (const Match& match : pattern.find_all(text)) {
    if (match.begin < match.end) out.emplace_back(text.substr(match.begin, match.end - match.begin));
  }
  return out;
}

class SplitFamilies : public testing::TestWithParam<SplitFamily> {
 protected:
  Pattern pattern() const { return *Pattern::regex(split_pattern(GetParam()), "test"); }
};

TEST_P(SplitFamilies, SplitAsTheirPatternDoes) {
  const Pattern expected = pattern();
  Rng rng({11, 0, 0, 0});
  for (int round = 0; round < 20000; ++round) {
    const std::string text = replace_invalid_utf8(text_test::hard_text(rng));
    ASSERT_EQ(by_hand(GetParam(), text), by_pattern(expected, text)) << text;
  }
}

// Known to both libraries: each has the Unicode version of its own time.
bool assigned(std::uint32_t point) {
  static const Pattern unknown = *Pattern::regex("\\p{Cn}", "test");
  std::string text;
  append_utf8(text, point);
  return utf8proc_category(static_cast<utf8proc_int32_t>(point)) != UTF8PROC_CATEGORY_CN && !unknown.find_all(text)[0].matched;
}

// Every character, between letters, digits, spaces and at both ends.
TEST_P(SplitFamilies, AgreeOnEveryCharacter) {
  const Pattern expected = pattern();
  for (std::uint32_t base = 1; base < 0x110000; base += 64) {
    std::string text;
    for (std::uint32_t point = base; point < base + 64; ++point) {
      if (point >= 0x110000 || (point >= 0xD800 && point < 0xE000) || !assigned(point)) continue;
      for (const char* between : {"a", "1", " ", "'", ""}) {
        text += between;
        append_utf8(text, point);
      }
    }
    if (text.empty()) continue;
    ASSERT_EQ(by_hand(GetParam(), text), by_pattern(expected, text)) << "from U+" << std::hex << base;
  }
}

INSTANTIATE_TEST_SUITE_P(All, SplitFamilies, testing::Values(SplitFamily::kGpt2, SplitFamily::kLlama3, SplitFamily::kQwen2));

TEST(Split, KnowsItsPatterns) {
  EXPECT_EQ(family_of_pattern(split_pattern(SplitFamily::kQwen2)), SplitFamily::kQwen2);
  EXPECT_EQ(family_of_pattern("\\p{L}+"), std::nullopt);
}

std::string refused(std::string_view pattern) {
  const auto made = Pattern::regex(pattern, "t.json");
  if (made) return "(accepted)";
  EXPECT_FALSE(made.error().hint.empty());
  return made.error().message();
}

TEST(Regex, RefusesWhatWouldMeanSomethingElse) {
  for (const char* pattern : {"\\h+", "[a[b]]", "[a&&b]", "\\p{N}{1,3}+", "(?i)a", "\\b", "(?<n>a)", "\\p{Klingon}", "(", "[a", "\\", "a\\K",
                              "(*UTF)a", "\\R", "[\\W]", "{x", "\\x{110000}"}) {
    EXPECT_NE(refused(pattern), "(accepted)") << pattern;
  }
  EXPECT_EQ(refused(R"([^\r\n\p{L}\p{N}]?+\p{L}++|[\p{Lu}\p{Han}]*(?i:'s|'t)?|\p{N}{1,3}|[一-龥]\x{4E00}\u3040)"), "(accepted)");
}

TEST(Regex, MatchesNothingTwiceAndGoesOn) {
  EXPECT_EQ(by_pattern(*Pattern::regex("b*", "t"), "abba"), (std::vector<std::string>{"a", "bb", "a"}));
  EXPECT_EQ(by_pattern(*Pattern::regex("$", "t"), "a\nb"), (std::vector<std::string>{"a", "\nb"}));
}

// Where no b comes, the first alternative tries about 2^n ways to be wrong before the second one matches. A million steps are
// tried, and then the text is left whole.
TEST(Regex, AHopelessTextEndsSoon) {
  const auto pattern = Pattern::regex("(a+)+b|a", "t");
  ASSERT_TRUE(pattern.has_value());
  EXPECT_EQ(by_pattern(*pattern, std::string(10, 'a')).size(), 10u);
  EXPECT_EQ(by_pattern(*pattern, std::string(21, 'a')).size(), 1u);
  EXPECT_EQ(by_pattern(*pattern, std::string(64, 'a')).size(), 1u);
}

}  // namespace
}  // namespace precept
