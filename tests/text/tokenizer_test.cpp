#include "precept/text/tokenizer.h"

#include <cstdlib>
#include <ctime>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "precept/core/rng.h"

namespace precept {
namespace {

std::map<std::string, std::int64_t> small_corpus() {
  return {{"the cat sat on the mat, and the dog didn't mind the cat", 40},
          {"a small lighthouse keeper kept a small light in the small house", 30},
          {"12 + 34 = 46; 100 words of wisdom\n\n  and some more words", 20},
          {"你好，世界。 naïve café", 10}};
}
const std::vector<std::string> kSpecials = {"<|pad|>", "<|begin|>", "<|end|>"};

constexpr int kSize = 330;

Tokenizer small_tokenizer() {
  auto made = train_bpe(small_corpus(), {kSize, kSpecials});
  EXPECT_TRUE(made.has_value()) << made.error().message();
  return *made;
}

// What merging means, written as plainly as possible: the lowest rank first, the leftmost among equals.
std::vector<std::string> merge_slowly(const nlohmann::json& merges, std::vector<std::string> parts) {
  for (;;) {
    std::size_t best = merges.size(), where = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      for (std::size_t rank = 0; rank < best; ++rank) {
        if (merges[rank] == parts[i] + " " + parts[i + 1]) {
          best = rank;
          where = i;
        }
      }
    }
    if (best == merges.size()) return parts;
    parts[where] += parts[where + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(where) + 1);
  }
}

std::string with(const std::string& json, const char* pointer, const nlohmann::json& value) {
  auto edited = nlohmann::json::parse(json);
  edited[nlohmann::json::json_pointer(pointer)] = value;
  return edited.dump();
}

std::string refusal(const std::string& json) {
  const auto parsed = Tokenizer::parse(json, "t.json");
  if (parsed) return "(accepted)";
  EXPECT_EQ(parsed.error().message().find('\n'), std::string::npos);
  EXPECT_FALSE(parsed.error().hint.empty());
  return parsed.error().message();
}

TEST(Train, LearnsTheFrequentWords) {
  const Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.size(), kSize);
  EXPECT_EQ(tokenizer.encode(" the").size(), 1u);
  EXPECT_LT(tokenizer.encode("the small cat").size(), 7u);
  EXPECT_EQ(tokenizer.special("<|end|>"), 2);
  EXPECT_TRUE(tokenizer.is_special(2));
  EXPECT_EQ(tokenizer.bytes(2), "");
  EXPECT_EQ(tokenizer.bytes(3 + 'a'), "a");
}

TEST(Train, MergesTheMostFrequentPairFirstAndTheLowestAmongEquals) {
  // "ab" and "cd" are equally frequent: the pair with the lower ids wins. "xy" is more frequent.
  const auto made = train_bpe({{"cd", 3}, {"ab", 3}, {"xy", 4}}, {258, {}});
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->bytes(256), "xy");
  EXPECT_EQ(made->bytes(257), "ab");
}

TEST(Train, StopsWhenNoPairOccursTwice) {
  const auto made = train_bpe({{"abc", 1}}, {1000, {}});
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->size(), 256);
}

TEST(Train, IsDeterministic) { EXPECT_EQ(small_tokenizer().digest(), small_tokenizer().digest()); }

TEST(Train, AgreesWithCountingAnewAtEveryStep) {
  // Words of few letters make overlaps ("aaa") and tokens that can be spelled in several ways.
  std::map<std::string, std::int64_t> words;
  Rng rng({7, 0, 0, 0});
  for (int i = 0; i < 200; ++i) {
    std::string word;
    for (std::uint64_t n = 1 + rng.below(9); n > 0; --n) word += static_cast<char>('a' + rng.below(3));
    words[word] += static_cast<std::int64_t>(1 + rng.below(5));
  }
  const auto made = train_bpe(words, {320, {}});
  ASSERT_TRUE(made.has_value());
  std::map<std::vector<std::string>, std::int64_t> parts;
  std::map<std::string, int> ids;
  for (int b = 0; b < 256; ++b) ids[std::string(1, static_cast<char>(b))] = b;
  for (const auto& word : words) {
    std::vector<std::string> letters;
    for (const char c : word.first) letters.emplace_back(1, c);
    parts[letters] += word.second;
  }
  std::vector<std::string> learnt;
  while (ids.size() < 320) {
    std::map<std::pair<int, int>, std::int64_t> counts;
    for (const auto& word : parts) {
      for (std::size_t i = 0; i + 1 < word.first.size(); ++i) counts[{ids[word.first[i]], ids[word.first[i + 1]]}] += word.second;
    }
    std::pair<int, int> best{-1, -1};
    std::int64_t most = 1;
    for (const auto& pair : counts) {
      if (pair.second > most) {
        most = pair.second;
        best = pair.first;
      }
    }
    if (best.first < 0) break;
    std::map<std::vector<std::string>, std::int64_t> next;
    std::string merged;
    for (const auto& word : parts) {
      std::vector<std::string> out;
      for (std::size_t i = 0; i < word.first.size(); ++i) {
        if (i + 1 < word.first.size() && ids[word.first[i]] == best.first && ids[word.first[i + 1]] == best.second) {
          merged = word.first[i] + word.first[i + 1];
          out.push_back(merged);
          ++i;
        } else {
          out.push_back(word.first[i]);
        }
      }
      next[out] += word.second;
    }
    parts = std::move(next);
    if (ids.emplace(merged, static_cast<int>(ids.size())).second) learnt.push_back(merged);
  }
  ASSERT_GT(learnt.size(), 30u);
  ASSERT_EQ(made->size(), 256 + static_cast<int>(learnt.size()));
  for (std::size_t i = 0; i < learnt.size(); ++i) EXPECT_EQ(made->bytes(256 + static_cast<int>(i)), learnt[i]);
}

TEST(Train, RefusesWhatCannotBe) {
  EXPECT_FALSE(train_bpe({}, {255, {}}).has_value());
  EXPECT_FALSE(train_bpe({}, {300, {"x"}}).has_value());
  EXPECT_FALSE(train_bpe({}, {300, {"<a>", "<a>"}}).has_value());
  EXPECT_FALSE(train_bpe({}, {300, {"\xff"}}).has_value());
  EXPECT_FALSE(train_bpe({{"a", 0}}, {300, {}}).has_value());
}

TEST(Encode, AgreesWithTheDefinitionOnShortAndLongPieces) {
  const Tokenizer tokenizer = small_tokenizer();
  const auto merges = nlohmann::json::parse(tokenizer.to_json())["model"]["merges"];
  Rng rng({1, 0, 0, 0});
  const std::vector<std::string> syllables = {"the", "ca", "t", "s", "ma", "ll", "h", "ou", "se", "e", "li", "ght"};
  for (const std::size_t length : {3, 20, 95, 96, 97, 150, 300}) {
    std::string word;
    while (word.size() < length) word += rng.pick(syllables);
    std::vector<std::string> parts;
    for (const char c : word) parts.emplace_back(1, c);
    std::vector<std::string> got;
    for (const std::int32_t id : tokenizer.encode(word)) got.push_back(tokenizer.bytes(id));
    EXPECT_EQ(got, merge_slowly(merges, parts)) << word;
  }
}

TEST(Encode, EveryByteStringComesBack) {
  const Tokenizer tokenizer = small_tokenizer();
  Rng rng({2, 0, 0, 0});
  const std::vector<std::string> parts = {"the", " cat", "\xff", "\xe4\xbd", "你", "  ", "\n", "'ll", "<|end|>", "é", "\xed\xa0\x80", "7"};
  for (int round = 0; round < 2000; ++round) {
    std::string bytes, mixed;
    for (std::uint64_t n = rng.below(60); n > 0; --n) bytes += static_cast<char>(rng.below(256));
    for (std::uint64_t n = rng.below(30); n > 0; --n) mixed += rng.pick(parts);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(mixed)), mixed);
  }
}

TEST(Encode, TextCannotInjectSpecialTokens) {
  const Tokenizer tokenizer = small_tokenizer();
  const std::string text = "a<|end|>b <|begin|><|pad|>";
  const auto ids = tokenizer.encode(text);
  for (const std::int32_t id : ids) EXPECT_FALSE(tokenizer.is_special(id));
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(tokenizer.decode({2, 3 + 'a', 1, -5, 1 << 30}), "a");
}

TEST(Encode, TrainingNeverLearnsTheSpellingOfASpecialToken) {
  const auto made = train_bpe({{"hello hello", 100}}, {300, {"hello", "ello"}});
  ASSERT_TRUE(made.has_value());
  for (const std::int32_t id : made->encode("hello hello")) EXPECT_FALSE(made->is_special(id));
  EXPECT_TRUE(Tokenizer::parse(made->to_json(), "t.json").has_value());
}

// Processor time, of one length against another: neither what else runs nor a sanitizer changes what they are to each other.
TEST(Encode, SixteenTimesOneCharacterTakesLittleMoreThanSixteenTimesAsLong) {
  const auto made = train_bpe({{std::string(64, 'a'), 5}, {std::string(64, ' '), 5}}, {270, {}});
  ASSERT_TRUE(made.has_value());
  const auto ticks = [&](std::size_t length, char c) {
    const std::string text(length, c);
    const std::clock_t start = std::clock();
    EXPECT_EQ(made->decode(made->encode(text)), text);
    return static_cast<double>(std::clock() - start);
  };
  for (const char c : {'a', ' ', '\xff', '='}) {
    ticks(1 << 16, c);  // memory is there
    const double few = ticks(1 << 16, c) + 1;
    EXPECT_LT(ticks(1 << 20, c), 80 * few);  // quadratic: 256 times
  }
}

TEST(Json, ComesBackTheSame) {
  const Tokenizer tokenizer = small_tokenizer();
  const auto again = Tokenizer::parse(tokenizer.to_json(), "t.json");
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
  EXPECT_EQ(again->encode("the small café, 12"), tokenizer.encode("the small café, 12"));
}

TEST(Json, MergesMayBePairs) {
  const Tokenizer tokenizer = small_tokenizer();
  auto json = nlohmann::json::parse(tokenizer.to_json());
  for (auto& merge : json["model"]["merges"]) {
    const auto text = merge.get<std::string>();
    merge = {text.substr(0, text.find(' ')), text.substr(text.find(' ') + 1)};
  }
  const auto again = Tokenizer::parse(json.dump(), "t.json");
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->to_json(), tokenizer.to_json());
}

TEST(Json, RefusesWhatItDoesNotSupportByName) {
  const std::string good = small_tokenizer().to_json();
  using testing::HasSubstr;
  EXPECT_EQ(refusal(good), "(accepted)");
  EXPECT_THAT(refusal(with(good, "/model/type", "Unigram")), HasSubstr("Unigram"));
  EXPECT_THAT(refusal(with(good, "/normalizer", {{"type", "BertNormalizer"}})), HasSubstr("BertNormalizer"));
  EXPECT_THAT(refusal(with(good, "/pre_tokenizer", {{"type", "UnicodeScripts"}})), HasSubstr("UnicodeScripts"));
  EXPECT_THAT(refusal(with(good, "/decoder", nullptr)), HasSubstr("decoder"));
  EXPECT_THAT(refusal(with(good, "/model/byte_fallback", "yes")), HasSubstr("byte_fallback"));
  EXPECT_THAT(refusal(with(good, "/model/dropout", 0.1)), HasSubstr("dropout"));
  EXPECT_THAT(refusal(with(good, "/model/end_of_word_suffix", "</w>")), HasSubstr("end_of_word_suffix"));
  EXPECT_THAT(refusal(with(good, "/model/merges/0", "q z")), HasSubstr("\"qz\""));
  EXPECT_THAT(refusal(with(good, "/model/merges/0", "q")), HasSubstr("merge 0"));
  EXPECT_THAT(refusal(with(good, "/model/merges/1", nlohmann::json::parse(good)["model"]["merges"][0])), HasSubstr("repeats"));
  EXPECT_THAT(refusal(with(good, "/model/vocab/a", 70000000)), HasSubstr("\"a\""));
  EXPECT_THAT(refusal(with(good, "/model/vocab/a", -1)), HasSubstr("\"a\""));
  EXPECT_THAT(refusal(with(good, "/model/vocab/a", 3 + 'b')), HasSubstr("of another"));
  EXPECT_THAT(refusal(with(good, "/model/vocab/a", kSize)), HasSubstr("no token has the id"));
  EXPECT_THAT(refusal(with(good, "/added_tokens/0/id", 1)), HasSubstr("of another"));
  EXPECT_THAT(refusal(with(good, "/model/vocab", nullptr)), HasSubstr("vocab"));
  EXPECT_THAT(refusal("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(std::string(100000, '[')), HasSubstr("nested"));
  EXPECT_THAT(refusal("{\n\n x"), HasSubstr("t.json:3:"));
}

TEST(Json, CutShortAnywhereIsAnError) {
  const std::string good = small_tokenizer().to_json();
  for (std::size_t n = 0; n + 2 < good.size(); n += 1 + n / 40) EXPECT_NE(refusal(good.substr(0, n)), "(accepted)");
}

TEST(Json, AFileThatIsNotByteLevelIsRefused) {
  const char* data = std::getenv("PRECEPT_TESTDATA");
  const std::string path = std::string(data != nullptr ? data : "../shared/data") + "/tokenizers/tiny-tokenizer-json/tokenizer.json";
  if (!std::ifstream(path)) GTEST_SKIP() << "no " << path;
  const auto loaded = Tokenizer::load(path);  // claims ByteLevel, yet spells a space as a space
  ASSERT_FALSE(loaded.has_value());
  EXPECT_THAT(loaded.error().message(), testing::HasSubstr("byte-level alphabet"));
}

}  // namespace
}  // namespace precept
