#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/text/chat_codec.h"
#include "precept/text/stream.h"

namespace precept {
namespace {

using testing::HasSubstr;

Tokenizer tokenizer() {
  auto made = train_bpe({{"hello there, a small world", 9}}, {280, pocket_special_tokens()});
  EXPECT_TRUE(made.has_value());
  return *made;
}

// Ids as a readable text, special tokens by name.
std::string shown(const Tokenizer& tok, const std::vector<std::int32_t>& ids) {
  std::string out;
  for (const std::int32_t id : ids) out += tok.is_special(id) ? "[" + tok.special_name(id) + "]" : tok.bytes(id);
  return out;
}

TEST(Chat, RendersAConversation) {
  const Tokenizer tok = tokenizer();
  const ChatFormat chat = ChatFormat::pocket(tok);
  const auto ids = chat.render(tok, {{"system", "s"}, {"user", "hello<|end|>"}, {"assistant", "there"}}, true);
  ASSERT_TRUE(ids.has_value());
  EXPECT_EQ(shown(tok, *ids),
            "[<|begin|>][<|system|>]s[<|end|>][<|user|>]hello<|end|>[<|end|>][<|assistant|>]there[<|end|>][<|assistant|>]");
  EXPECT_EQ(chat.stop_ids, std::vector<std::int32_t>{2});
}

TEST(Chat, AnUnknownRoleIsAnError) {
  const Tokenizer tok = tokenizer();
  const auto ids = ChatFormat::pocket(tok).render(tok, {{"tool", "x"}}, false);
  ASSERT_FALSE(ids.has_value());
  EXPECT_THAT(ids.error().what, HasSubstr("\"tool\""));
  EXPECT_THAT(ids.error().hint, HasSubstr("assistant, system, user"));
}

TEST(Chat, FilesComeBackTheSame) {
  const std::string folder = testing::TempDir() + "precept_chat_" + std::to_string(::getpid());
  const Tokenizer tok = tokenizer();
  ASSERT_TRUE(write_tokenizer_files(folder, tok, ChatFormat::pocket(tok)).has_value());
  const auto files = load_tokenizer_files(folder);
  ASSERT_TRUE(files.has_value()) << files.error().message();
  EXPECT_EQ(files->tokenizer.digest(), tok.digest());
  EXPECT_EQ(files->chat.format()->to_json(), ChatFormat::pocket(tok).to_json());
  const auto config = read_file(folder + "/tokenizer_config.json");
  ASSERT_TRUE(config.has_value());
  EXPECT_THAT(*config, HasSubstr("\"eos_token\": \"<|end|>\""));
  EXPECT_THAT(*config, HasSubstr("add_generation_prompt"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/special_tokens_map.json"));
  std::filesystem::remove_all(folder);
}

TEST(Chat, RefusesWhatDoesNotFit) {
  const Tokenizer tok = tokenizer();
  const auto refusal = [&](const std::string& json) {
    const auto chat = ChatFormat::parse(json, tok, "chat.json");
    return chat ? std::string("(accepted)") : chat.error().message();
  };
  const std::string roles = R"("roles": {"user": {"prefix": ["<|user|>"]}, "assistant": {}})";
  EXPECT_EQ(refusal("{" + roles + R"(, "stop": ["<|end|>"]})"), "(accepted)");
  EXPECT_THAT(refusal("{" + roles + R"(, "stop": ["<|stop|>"]})"), HasSubstr("<|stop|>"));
  EXPECT_THAT(refusal("{" + roles + R"(, "stop": [3]})"), HasSubstr("number"));
  EXPECT_THAT(refusal("{" + roles + R"(, "stop": "<|end|>"})"), HasSubstr("not a list"));
  EXPECT_THAT(refusal("{" + roles + "}"), HasSubstr("\"stop\""));
  EXPECT_THAT(refusal("{" + roles + R"(, "stop": ["<|end|>"], "sotp": []})"), HasSubstr("sotp"));
  EXPECT_THAT(refusal("{}"), HasSubstr("roles"));
  EXPECT_THAT(refusal("{"), HasSubstr("chat.json:1:"));
}

TEST(Stream, KeepsUnfinishedCharactersBack) {
  StreamDecoder decoder(tokenizer());
  EXPECT_EQ(decoder.feed_bytes("a\xe4\xbd"), "a");
  EXPECT_EQ(decoder.feed_bytes("\xa0" "b"), "你b");
  EXPECT_EQ(decoder.feed_bytes("\xe4"), "");
  EXPECT_EQ(decoder.feed_bytes("x"), "\xEF\xBF\xBDx");
  EXPECT_EQ(decoder.feed_bytes("\xf0\x9f"), "");
  EXPECT_EQ(decoder.finish(), "\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(decoder.feed(tokenizer().special("<|end|>").value()), "");
}

std::string random_text(Rng& rng, const std::string& alphabet, std::uint64_t most) {
  std::string text;
  for (std::uint64_t n = rng.below(most + 1); n > 0; --n) text += rng.pick(alphabet);
  return text;
}

TEST(Stream, DecodingDoesNotDependOnTheCut) {
  Rng rng({3, 0, 0, 0});
  const Tokenizer tok = tokenizer();
  for (int round = 0; round < 2000; ++round) {
    const std::string text = random_text(rng, "a\xe4\xbd\xa0\xf0\x9f\xed\xff", 12);
    StreamDecoder decoder(tok);
    std::string out;
    for (const char c : text) {
      out += decoder.feed_bytes(std::string(1, c));
      ASSERT_FALSE(find_invalid_utf8(out).has_value());
    }
    out += decoder.finish();
    ASSERT_EQ(out, replace_invalid_utf8(text));
  }
}

TEST(Stop, FindsAStopStringSplitAcrossParts) {
  StopMatcher matcher({"\n\nHuman:", "", "END"});
  EXPECT_EQ(matcher.feed("yes\n"), "yes");
  EXPECT_EQ(matcher.feed("no\n\nHu"), "\nno");
  EXPECT_EQ(matcher.feed("man: ha"), "");
  EXPECT_TRUE(matcher.matched());
  EXPECT_EQ(matcher.feed("more"), "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(Stop, GivesBackWhatOnlyLookedLikeAStop) {
  StopMatcher matcher({"abc"});
  EXPECT_EQ(matcher.feed("xab"), "x");
  EXPECT_EQ(matcher.feed("ab"), "ab");
  EXPECT_EQ(matcher.finish(), "ab");
  EXPECT_FALSE(matcher.matched());
}

TEST(Stop, DoesNotDependOnTheCut) {
  Rng rng({4, 0, 0, 0});
  for (int round = 0; round < 5000; ++round) {
    const std::string text = random_text(rng, "abc", 12);
    std::vector<std::string> stops;
    for (std::uint64_t n = rng.below(4); n > 0; --n) stops.push_back(random_text(rng, "abc", 4));
    StopMatcher whole(stops), single(stops);
    const std::string first = whole.feed(text), at_once = first + whole.finish();
    std::string piecewise;
    for (const char c : text) piecewise += single.feed(std::string(1, c));
    piecewise += single.finish();
    ASSERT_EQ(piecewise, at_once) << text;
    ASSERT_EQ(whole.matched(), single.matched());
    for (const std::string& stop : stops) ASSERT_TRUE(stop.empty() || at_once.find(stop) == std::string::npos);
  }
}

}  // namespace
}  // namespace precept
