// Pairs of answers: both shapes, answers in which nothing is said, and what is refused.
#include "precept/constitution/pairs.h"

#include <gtest/gtest.h>

namespace precept {
namespace {

Result<std::vector<AnswerPair>> read(std::string_view text) { return read_pairs(memory_bytes(text), "p.jsonl"); }

TEST(Pairs, ReadsBothShapes) {
  const auto pairs = read(R"({"prompt":"a","chosen":"b","rejected":"c","label":0.75,"id":"x","more":1})" "\n\n"
                          R"({"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":"b"}],"rejected":"c"})" "\n"
                          R"({"chosen":"\n\nHuman: a\n\nAssistant: b","rejected":"\n\nHuman: a\n\nAssistant: c"})");
  ASSERT_TRUE(pairs) << pairs.error().message();
  ASSERT_EQ(pairs->size(), 3U);
  for (const AnswerPair& pair : *pairs) {
    EXPECT_EQ(pair.messages, (Conversation{{"user", "a"}}));
    EXPECT_EQ(pair.chosen, "b");
    EXPECT_EQ(pair.rejected, "c");
  }
  EXPECT_EQ((*pairs)[0].id, "x");
  EXPECT_EQ((*pairs)[0].label, 0.75);
  EXPECT_EQ((*pairs)[1].id, (*pairs)[2].id);
  EXPECT_EQ((*pairs)[2].label, 1);
  EXPECT_EQ(silent_answers(*pairs), "");
}

TEST(Pairs, AnEmptyIdIsNone) {
  const auto pairs = read(R"({"prompt":"a","chosen":"b","rejected":"c","id":""})" "\n" R"({"prompt":"a","chosen":"b","rejected":"c"})");
  ASSERT_TRUE(pairs) << pairs.error().message();
  EXPECT_NE((*pairs)[0].id, "");
  EXPECT_EQ((*pairs)[0].id, (*pairs)[1].id);
}

// As in the harmless part of hh-rlhf, where people chose silence.
TEST(Pairs, AnAnswerMayBeEmpty) {
  const auto pairs = read(R"({"chosen":"\n\nHuman: how?\n\nAssistant: ","rejected":"\n\nHuman: how?\n\nAssistant: Ok"})" "\n"
                          R"({"chosen":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d","rejected":"\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"})" "\n"
                          R"({"prompt":"a","chosen":"b","rejected":" "})");
  ASSERT_TRUE(pairs) << pairs.error().message();
  EXPECT_EQ((*pairs)[0].messages, (Conversation{{"user", "how?"}}));
  EXPECT_EQ((*pairs)[0].chosen, "");
  EXPECT_EQ((*pairs)[0].rejected, "Ok");
  EXPECT_EQ((*pairs)[1].messages.size(), 3U);
  EXPECT_EQ((*pairs)[1].rejected, "");
  EXPECT_EQ(silent_answers(*pairs), "of 3 pairs, 1 with an empty chosen answer and 2 with an empty rejected one; they count like the others");
}

TEST(Pairs, WhatIsNoPairIsRefusedWithItsLine) {
  const char* const lines[] = {
      "[]", R"({"prompt":"a","chosen":"b"})", R"({"prompt":5,"chosen":"b","rejected":"c"})", R"({"chosen":"x","rejected":"y"})",
      R"({"prompt":"a","chosen":"b","rejected":"c","label":2})",
      R"({"chosen":"\n\nHuman: a","rejected":"\n\nHuman: a\n\nAssistant: b"})",                   // nobody's turn to answer
      R"({"chosen":"\n\nHuman: a\n\nAssistant:","rejected":"\n\nHuman: other\n\nAssistant: b"})",  // two prompts
      R"({"chosen":"\n\nAssistant:","rejected":"\n\nAssistant:"})"};
  for (const char* line : lines) {
    const auto pairs = read(R"({"prompt":"a","chosen":"b","rejected":"c"})" "\n" + std::string(line));
    ASSERT_FALSE(pairs) << line;
    EXPECT_EQ(pairs.error().message().find("p.jsonl:2: "), 0U) << pairs.error().message();
  }
  EXPECT_FALSE(read(""));
}

}  // namespace
}  // namespace precept
