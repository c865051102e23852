// Tokenizers of other kinds than byte-level: what must hold without any reference at hand.

#include <cstring>
#include <filesystem>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/core/io.h"
#include "tokenizer_files.h"

namespace precept {
namespace {

using testing::HasSubstr;
using text_test::Json;
using Specials = EncodeOptions::Specials;

Json json_of(const std::string& name) {
  for (const text_test::Family& family : text_test::families()) {
    if (family.name == name) return family.json;
  }
  ADD_FAILURE() << name;
  std::abort();
}
Tokenizer named(const std::string& name) { return Tokenizer::parse(json_of(name).dump(), name).value(); }

std::string tokens(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::string out;
  for (const std::int32_t id : ids) out += "[" + tokenizer.token(id) + "]";
  return out;
}

EncodeOptions reading(Specials specials, std::vector<TextSpan> spans = {}) {
  EncodeOptions options;
  options.specials = specials;
  options.spans = std::move(spans);
  return options;
}

TEST(Families, LlamaReadsCharactersAndBytes) {
  const Tokenizer tokenizer = named("llama-old");
  EXPECT_EQ(tokens(tokenizer, tokenizer.encode("the cat")), "[\xE2\x96\x81the][\xE2\x96\x81" "cat]");
  EXPECT_EQ(tokens(tokenizer, tokenizer.encode("你😀")), "[\xE2\x96\x81你][<0xF0>][<0x9F>][<0x98>][<0x80>]");
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("the cat 😀")), "the cat 😀");
  EXPECT_EQ(tokenizer.encode(""), std::vector<std::int32_t>{});
  EXPECT_EQ(tokenizer.unk_id(), 0);
  EXPECT_EQ(tokenizer.token_id("\xE2\x96\x81the"), tokenizer.encode("the").at(0));
  EXPECT_EQ(tokenizer.bytes(*tokenizer.token_id("\xE2\x96\x81the")), " the");
  EXPECT_EQ(tokenizer.bytes(*tokenizer.token_id("<0xF0>")), "\xF0");
  EXPECT_EQ(tokenizer.bytes(1), "");
}

TEST(Families, BrokenTextIsReadAsItsReplacement) {
  Rng rng({31, 0, 0, 0});
  for (const char* name : {"llama-old", "metaspace-first", "unigram", "words"}) {
    const Tokenizer tokenizer = named(name);
    for (int round = 0; round < 300; ++round) {
      const std::string text = text_test::broken_text(rng);
      ASSERT_EQ(tokenizer.encode(text), tokenizer.encode(replace_invalid_utf8(text))) << name;
      for (const TokenAt& token : tokenizer.encode_with_offsets(text, {})) ASSERT_LE(token.end, text.size());
    }
  }
  const Tokenizer tokenizer = named("llama3");
  for (int round = 0; round < 300; ++round) {
    const std::string text = text_test::broken_text(rng);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Families, StreamsSayWhatDecodeSays) {
  Rng rng({32, 0, 0, 0});
  for (const text_test::Family& family : text_test::families()) {
    const Tokenizer tokenizer = Tokenizer::parse(family.json.dump(), family.name).value();
    for (int round = 0; round < 300; ++round) {
      std::vector<std::int32_t> ids;
      if (round % 2 == 0) ids = tokenizer.encode(text_test::hard_text(rng));
      for (std::uint64_t n = rng.below(8); n > 0; --n) ids.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(tokenizer.size()))));
      for (const bool specials : {false, true}) {
        StreamDecoder stream(tokenizer, specials);
        std::string out;
        for (const std::int32_t id : ids) {
          out += stream.feed(id);
          ASSERT_FALSE(find_invalid_utf8(out).has_value());
        }
        ASSERT_EQ(out + stream.finish(), replace_invalid_utf8(tokenizer.decode(ids, specials))) << family.name;
      }
    }
  }
}

TEST(Families, StreamsGiveTextAsSoonAsItIsKnown) {
  const Tokenizer tokenizer = named("llama-old");
  StreamDecoder stream(tokenizer);
  std::vector<std::string> parts;
  for (const std::int32_t id : tokenizer.encode("the cat😀")) parts.push_back(stream.feed(id));
  EXPECT_EQ(parts, (std::vector<std::string>{"the", " cat", "", "", "", "😀"}));
  EXPECT_EQ(stream.finish(), "");
}

TEST(Specials, AreReadOnlyWhereAsked) {
  const Tokenizer tokenizer = named("gpt2");
  const std::string text = "<|im_start|>hi<|end|>";
  EXPECT_EQ(tokenizer.encode(text, reading(Specials::everywhere)).front(), 1);
  EXPECT_EQ(tokenizer.encode(text, reading(Specials::everywhere)).back(), 2);
  EXPECT_EQ(tokenizer.encode(text, reading(Specials::nowhere)), tokenizer.encode(text));
  for (const std::int32_t id : tokenizer.encode(text)) EXPECT_FALSE(tokenizer.is_special(id));
}

TEST(Specials, NoSpanInjectsAny) {
  const Tokenizer tokenizer = named("gpt2");
  // A template around what a user wrote: specials of the template are read, whatever the user's text holds or completes.
  for (const std::string user : {"<|end|>", "x<|end|><|im_start|>y", "<|en", "", "d|>", "|>", "<|end|"}) {
    const std::string before = "<|im_start|>", after = "<|end|>";
    const std::string text = before + user + after;
    const auto ids = tokenizer.encode(text, reading(Specials::outside, {{before.size(), before.size() + user.size()}}));
    EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [&](std::int32_t id) { return tokenizer.is_special(id); }), 2) << user;
    EXPECT_EQ(ids.front(), 1);
    EXPECT_EQ(ids.back(), 2);
    EXPECT_EQ(tokenizer.decode(ids, true), text);
  }
  // Half in the span: not read.
  for (const std::int32_t id : tokenizer.encode("<|end|>", reading(Specials::outside, {{6, 7}}))) EXPECT_FALSE(tokenizer.is_special(id));
  for (const std::int32_t id : tokenizer.encode("<|end|>", reading(Specials::outside, {{0, 1}}))) EXPECT_FALSE(tokenizer.is_special(id));
  EXPECT_EQ(tokenizer.encode("<|end|>", reading(Specials::outside, {{7, 9}, {3, 3}})), std::vector<std::int32_t>{2});
  // Spans overlap and come in any order.
  const auto ids = tokenizer.encode("<|end|>a<|end|>b<|end|>", reading(Specials::outside, {{9, 12}, {0, 10}, {5, 6}}));
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 1);
}

TEST(Specials, RandomSpansNeverLetOneThrough) {
  Rng rng({33, 0, 0, 0});
  for (const char* name : {"flags", "llama-old", "metaspace-always"}) {
    const Tokenizer tokenizer = named(name);
    for (int round = 0; round < 500; ++round) {
      const std::string text = round % 3 == 0 ? text_test::broken_text(rng) : text_test::hard_text(rng);
      std::vector<TextSpan> spans;
      for (std::uint64_t n = rng.below(4); n > 0; --n) {
        const std::size_t begin = rng.below(text.size() + 1);
        spans.push_back({begin, begin + rng.below(12)});
      }
      for (const TokenAt& token : tokenizer.encode_with_offsets(text, reading(Specials::outside, spans))) {
        if (!tokenizer.is_special(token.id) || token.id == 0) continue;  // 0: also what is unknown
        const std::string name_of = tokenizer.special_name(token.id);
        const std::size_t at = text.find(name_of, token.begin);
        ASSERT_LE(at + name_of.size(), token.end);
        for (const TextSpan& span : spans) ASSERT_TRUE(span.begin >= span.end || at >= span.end || at + name_of.size() <= span.begin) << text;
      }
      ASSERT_EQ(tokenizer.encode(text, reading(Specials::outside)), tokenizer.encode(text, reading(Specials::everywhere)));
    }
  }
}

TEST(Specials, ThePostProcessorAddsItsOwnWhenAsked) {
  Json json = json_of("llama3");
  json["post_processor"] = {{"type", "TemplateProcessing"}, {"single", {{{"SpecialToken", {{"id", "<|im_start|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                            {"pair", Json::array()}, {"special_tokens", {{"<|im_start|>", {{"id", "<|im_start|>"}, {"ids", {1}}, {"tokens", {"<|im_start|>"}}}}}}};
  const auto tokenizer = Tokenizer::parse(json.dump(), "t.json");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  EncodeOptions options;
  options.add_special_tokens = true;
  auto expected = tokenizer->encode("the");
  expected.insert(expected.begin(), 1);
  EXPECT_EQ(tokenizer->encode("the", options), expected);
  EXPECT_NE(tokenizer->encode("the").front(), 1);
}

TEST(Offsets, NameTheBytesOfTheOriginal) {
  const Tokenizer tokenizer = named("llama-old");
  const std::string text = "the 你好";
  std::vector<std::string> parts;
  for (const TokenAt& token : tokenizer.encode_with_offsets(text, {})) parts.push_back(text.substr(token.begin, token.end - token.begin));
  EXPECT_EQ(parts, (std::vector<std::string>{"the", " 你", "好"}));
}

std::string refusal(const Json& json) {
  const auto parsed = Tokenizer::parse(json.dump(), "t.json");
  if (parsed) return "(accepted)";
  EXPECT_EQ(parsed.error().message().find('\n'), std::string::npos);
  EXPECT_FALSE(parsed.error().hint.empty());
  return parsed.error().message();
}

TEST(Families, WhatIsNotSupportedIsRefusedByName) {
  const auto with = [](const char* pointer, const Json& value) {
    Json json = text_test::character_json(true);
    json[Json::json_pointer(pointer)] = value;
    return json;
  };
  EXPECT_EQ(refusal(text_test::character_json(true)), "(accepted)");
  EXPECT_THAT(refusal(with("/normalizer", {{"type", "Nmt"}})), HasSubstr("normalizer \"Nmt\""));
  EXPECT_THAT(refusal(with("/normalizer", {{"type", "NFC"}, {"strength", 3}})), HasSubstr("\"strength\""));
  EXPECT_THAT(refusal(with("/normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}})), HasSubstr("precompiled_charsmap"));
  EXPECT_THAT(refusal(with("/normalizer", {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(5000, 'b')}})), HasSubstr("grow"));
  EXPECT_THAT(refusal(with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "\\h"}}}, {"behavior", "Isolated"}})), HasSubstr("\\h"));
  EXPECT_THAT(refusal(with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Sideways"}})), HasSubstr("Sideways"));
  EXPECT_THAT(refusal(with("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}})), HasSubstr("one character"));
  EXPECT_THAT(refusal(with("/decoder", {{"type", "WordPiece"}})), HasSubstr("WordPiece"));
  EXPECT_THAT(refusal(with("/decoder", {{"type", "Strip"}, {"content", " "}, {"start", -1}})), HasSubstr("\"start\""));
  EXPECT_THAT(refusal(with("/post_processor", {{"type", "TemplateProcessing"}, {"single", Json::array()}})), HasSubstr("without the text"));
  EXPECT_THAT(refusal(with("/model/unk_token", "<none>")), HasSubstr("unk_token"));
  EXPECT_THAT(refusal(with("/model/type", "WordPiece")), HasSubstr("WordPiece"));
  EXPECT_THAT(refusal(with("/model/type", "Unigram")), HasSubstr("Unigram"));
  EXPECT_THAT(refusal(with("/added_tokens/0/content", "")), HasSubstr("content"));
}

// Protobuf, written as plainly as possible.
std::string varint(std::uint64_t n) {
  std::string out;
  for (; n >= 128; n >>= 7) out += static_cast<char>(n | 128);
  return out + static_cast<char>(n);
}
std::string field(int number, const std::string& bytes) { return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes; }
std::string field(int number, std::uint64_t value) { return varint(static_cast<std::uint64_t>(number) << 3) + varint(value); }
std::string piece(const std::string& text, float score, std::uint64_t type) {
  std::string bits(4, '\0');
  std::memcpy(bits.data(), &score, 4);
  return field(1, field(1, text) + varint(2 << 3 | 5) + bits + field(3, type));
}
std::string model(std::uint64_t type, bool extra_spaces) {
  std::string out = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("<0x0A>", 0, 6);
  float score = -1;
  for (const char* text : {"\xE2\x96\x81the", "\xE2\x96\x81t", "he", "\xE2\x96\x81", "t", "h", "e", "ab", "abc", "bc"}) out += piece(text, score -= 1, 1);
  out += piece("[X]", 0, 4);
  return out + field(2, field(3, type) + field(35, std::uint64_t{1}) + field(43, ~std::uint64_t{0})) + field(3, field(4, std::uint64_t{extra_spaces ? 0U : 1U}));
}

TEST(SentencePiece, ModelsAreRead) {
  const auto tokenizer = Tokenizer::parse_sentencepiece(model(2, true), "t.model");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  EXPECT_EQ(tokens(*tokenizer, tokenizer->encode("the")), "[\xE2\x96\x81the]");
  EXPECT_EQ(tokens(*tokenizer, tokenizer->encode("  he")), "[\xE2\x96\x81][\xE2\x96\x81][\xE2\x96\x81][he]");
  // a, b and c are no pieces, and merge all the same; z is unknown; a line end is a byte.
  EXPECT_EQ(tokens(*tokenizer, tokenizer->encode("abcz\nab")), "[\xE2\x96\x81][abc][<unk>][<0x0A>][ab]");
  EXPECT_EQ(tokens(*tokenizer, tokenizer->encode("the[X]he")), "[\xE2\x96\x81the][[X]][he]");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("the  he\n")), "the  he\n");
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->pad_id(), std::nullopt);
  for (const std::int32_t id : tokenizer->encode("<s></s>")) EXPECT_TRUE(id == 0 || !tokenizer->is_special(id));
}

TEST(SentencePiece, ExtraSpacesGoWhereTheModelSaysSo) {
  const auto tokenizer = Tokenizer::parse_sentencepiece(model(1, false), "t.model");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  EXPECT_EQ(tokens(*tokenizer, tokenizer->encode("   the   he  ")), "[\xE2\x96\x81the][\xE2\x96\x81][he]");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("  the  he ")), "the he");
  EXPECT_EQ(tokenizer->encode("   "), std::vector<std::int32_t>{});
  const auto json = Tokenizer::parse(tokenizer->to_json(), "again");
  ASSERT_TRUE(json.has_value()) << json.error().message();
  EXPECT_EQ(json->encode(" the  he"), tokenizer->encode(" the  he"));
}

TEST(SentencePiece, BrokenFilesAreErrors) {
  const std::string good = model(2, true);
  int accepted = 0;
  for (std::size_t n = 0; n < good.size(); ++n) {
    const auto cut = Tokenizer::parse_sentencepiece(good.substr(0, n), "t.model");
    if (cut) ++accepted;  // cut between two fields
    else EXPECT_FALSE(cut.error().hint.empty());
  }
  EXPECT_LT(accepted, 20);
  EXPECT_THAT(Tokenizer::parse_sentencepiece(good + field(2, field(3, std::uint64_t{3})), "t.model").error().message(), HasSubstr("Word"));
  EXPECT_THAT(Tokenizer::parse_sentencepiece(good + field(2, field(24, std::uint64_t{1})), "t.model").error().message(), HasSubstr("treat_whitespace_as_suffix"));
  EXPECT_THAT(Tokenizer::parse_sentencepiece(good + piece("he", 0, 1), "t.model").error().message(), HasSubstr("twice"));
  EXPECT_THAT(Tokenizer::parse_sentencepiece(good + piece("\xFF", 0, 1), "t.model").error().message(), HasSubstr("UTF-8"));
  EXPECT_FALSE(Tokenizer::parse_sentencepiece("", "t.model").has_value());
}

TEST(Folder, IsReadInOrderOfPreference) {
  const std::string folder = testing::TempDir() + "precept_tokenizer_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  EXPECT_THAT(load_tokenizer(folder).error().hint, HasSubstr("tokenizer.json"));
  ASSERT_TRUE(write_file(folder + "/tokenizer.model", model(2, true)).has_value());
  const auto spm = load_tokenizer(folder);
  ASSERT_TRUE(spm.has_value()) << spm.error().message();
  EncodeOptions options;
  options.add_special_tokens = true;
  EXPECT_EQ(tokens(*spm, spm->encode("the", options)), "[<s>][\xE2\x96\x81the]");
  const Json trained = text_test::trained_json();
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : trained["model"]["merges"]) merges += merge.get<std::string>() + "\n";
  ASSERT_TRUE(write_file(folder + "/vocab.json", trained["model"]["vocab"].dump()).has_value());
  ASSERT_TRUE(write_file(folder + "/merges.txt", merges).has_value());
  ASSERT_TRUE(write_file(folder + "/tokenizer_config.json", R"({"eos_token": {"content": "<|end|>"}, "pad_token": "<|pad|>", "added_tokens_decoder": {
    "0": {"content": "<|pad|>", "special": true}, "1": {"content": "<|im_start|>", "special": true}, "2": {"content": "<|end|>", "special": true}}})").has_value());
  const auto pairs = load_tokenizer(folder);
  ASSERT_TRUE(pairs.has_value()) << pairs.error().message();
  EXPECT_EQ(pairs->encode("don't you 123 你好"), text_test::trained_bytes().encode("don't you 123 你好"));
  EXPECT_EQ(pairs->eos_id(), 2);
  EXPECT_EQ(pairs->pad_id(), 0);
  ASSERT_TRUE(write_file(folder + "/merges.txt", "#version: 0.2\na b\nab\n").has_value());
  EXPECT_THAT(load_tokenizer(folder).error().message(), HasSubstr("merges.txt:3:"));
  ASSERT_TRUE(write_file(folder + "/tokenizer.json", json_of("llama-old").dump()).has_value());
  EXPECT_EQ(load_tokenizer(folder)->size(), named("llama-old").size());
  std::filesystem::remove_all(folder);
}

TEST(Vocabulary, WhatDoesNotFitIsAnError) {
  VocabularySpec spec;
  EXPECT_FALSE(Tokenizer::from_vocabulary(spec).has_value());
  spec.model = "llama";
  spec.tokens = {"<unk>", "a", "b", "ab"};
  EXPECT_THAT(Tokenizer::from_vocabulary(spec).error().message(), HasSubstr("scores"));
  spec.scores = {0, -2, -3, -1};
  spec.token_types = {2, 1, 1, 1};
  spec.unk_id = 0;
  spec.add_space_prefix = false;
  const auto tokenizer = Tokenizer::from_vocabulary(spec);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  EXPECT_EQ(tokenizer->encode("abba"), (std::vector<std::int32_t>{3, 2, 1}));
  spec.scores[1] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(Tokenizer::from_vocabulary(spec).has_value());
  spec.scores[1] = 0;
  spec.bos_id = 9;
  EXPECT_FALSE(Tokenizer::from_vocabulary(spec).has_value());
  spec.bos_id = 1;
  spec.model = "bert";
  EXPECT_THAT(Tokenizer::from_vocabulary(spec).error().message(), HasSubstr("bert"));
}

// The families are compared with the reference; what GGUF files name must be the same tokenizers.
TEST(Vocabulary, WhatGgufNamesSplitsAsTheFamiliesDo) {
  Json trained = text_test::trained_json();
  VocabularySpec spec;
  spec.tokens.resize(trained["model"]["vocab"].size());
  for (auto entry = trained["model"]["vocab"].begin(); entry != trained["model"]["vocab"].end(); ++entry) spec.tokens[entry.value().get<std::size_t>()] = entry.key();
  for (const Json& merge : trained["model"]["merges"]) spec.merges.push_back(merge.is_string() ? merge.get<std::string>() : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  spec.token_types.assign(spec.tokens.size(), 1);
  for (const Json& token : trained["added_tokens"]) {
    spec.tokens.resize(std::max(spec.tokens.size(), token["id"].get<std::size_t>() + 1));
    spec.token_types.resize(spec.tokens.size(), 1);
    spec.tokens[token["id"].get<std::size_t>()] = token["content"];
    spec.token_types[token["id"].get<std::size_t>()] = 3;
  }
  for (const auto& [pre, family] : {std::pair{"gpt-2", "gpt2"}, {"llama-bpe", "llama3"}, {"qwen2", "qwen2"}, {"smollm", "smollm2"},
                                    {"tekken", "tekken"}, {"gpt-4o", "gpt-4o"}, {"deepseek-v3", "deepseek"}}) {
    spec.pre = pre;
    const auto tokenizer = Tokenizer::from_vocabulary(spec);
    ASSERT_TRUE(tokenizer.has_value()) << pre << ": " << tokenizer.error().message();
    Json same = json_of(family);
    same["normalizer"] = nullptr;  // GGUF has none
    same["model"]["ignore_merges"] = std::string(pre) == "llama-bpe" || std::string(pre) == "tekken";
    const Tokenizer other = Tokenizer::parse(same.dump(), family).value();
    Rng rng({35, 0, 0, 0});
    for (int i = 0; i < 500; ++i) {
      const std::string text = text_test::hard_text(rng);
      ASSERT_EQ(tokenizer->encode(text, reading(Specials::everywhere)), other.encode(text, reading(Specials::everywhere))) << pre << ": " << text;
    }
  }
}

TEST(Pocket, TheBuiltInModelKeepsItsBytes) {
  const char* source = std::getenv("PRECEPT_SOURCE");
  const std::string path = std::string(source != nullptr ? source : ".") + "/models/pocket/tokenizer.json";
  const auto tokenizer = Tokenizer::load(path);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  EXPECT_EQ(tokenizer->to_json(), text_test::slurp(path));
}

TEST(Speed, TenMegabytesOfOneLetterAreNotQuadratic) {
  for (const char* name : {"llama-old", "unigram", "deepseek"}) {
    const Tokenizer tokenizer = named(name);
    for (const char c : {'a', ' '}) {
      const std::string text(std::size_t{2} << 20, c);
      EXPECT_GT(tokenizer.encode(text).size(), 1000u) << name;
    }
  }
}

}  // namespace
}  // namespace precept
