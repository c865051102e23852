#include "precept/text/tokenizer.h"

#include <gtest/gtest.h>

namespace precept {
namespace {

std::map<std::string, std::int64_t> small_corpus() {
  return {{"the cat sat on the mat, and the dog didn't mind the cat", 40},
          {"a small lighthouse keeper kept a small light in the small house", 30},
          {"12 + 34 = 46; 100 words of wisdom\n\n  and some more words", 20},
          {"你好，世界。 naïve café", 10}};
}
const std::vector<std::string> kSpecials = {"<|pad|>", "<|begin|>", "<|end|>"};

Tokenizer small_tokenizer(int size = 400) {
  auto made = train_bpe(small_corpus(), {size, kSpecials});
  EXPECT_TRUE(made.has_value()) << made.error().message();
  return *made;
}

TEST(Train, LearnsTheFrequentWords) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.size(), 400);
  EXPECT_EQ(tokenizer.encode(" the").size(), 1u);
  EXPECT_LT(tokenizer.encode("the small cat").size(), 6u);
}

TEST(Train, RoundTrips) {
  const Tokenizer tokenizer = small_tokenizer();
  for (const std::string& text : {std::string("hello  world \n\t x's"), std::string("\xff\xfe\0 a\xc3", 6)}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
  const auto again = Tokenizer::parse(tokenizer.to_json(), "t.json");
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
}

}  // namespace
}  // namespace precept
