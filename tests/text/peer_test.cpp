// Against the reference: Hugging Face's Rust library (npm: tokenizers) and, where it agrees with that one, its JavaScript
// port (npm: @huggingface/tokenizers). `npm ci` in tests/peers/tokenizers installs both.
//
// Where the port deviates from the Rust library, we follow the latter and do not ask the former (js_reads in
// tokenizer_files.h says of which texts): Split knows only Removed and Isolated; Metaspace does not split; Digits knows only
// \d; Punctuation splits runs otherwise; Unigram gives no byte tokens; byte-level decoders copy added tokens.

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/core/io.h"
#include "tokenizer_files.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using text_test::Json;

std::string source() {
  const char* named = std::getenv("PRECEPT_SOURCE");
  return named != nullptr ? named : ".";
}

struct Answer {
  std::vector<std::int32_t> ids;
  std::string text;
  std::vector<std::pair<std::size_t, std::size_t>> offsets;
};

class Peer : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
    if (!fs::exists(source() + "/tests/peers/tokenizers/node_modules/tokenizers")) {
      GTEST_SKIP() << "the peer is not installed: npm ci in tests/peers/tokenizers";
    }
    folder_ = testing::TempDir() + "precept_peer_" + std::to_string(::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  std::vector<Answer> ask(const char* which, const std::string& json, const std::vector<std::string>& texts) {
    std::ofstream(folder_ + "/tokenizer.json") << json;
    {
      std::ofstream out(folder_ + "/texts.jsonl");
      for (const std::string& text : texts) out << Json(text).dump() << "\n";
    }
    const std::string command = "node " + source() + "/tests/peers/tokenizers/encode.mjs " + which + " " + folder_ + "/tokenizer.json " + folder_ + "/texts.jsonl " + folder_ + "/out.jsonl 2>" + folder_ + "/log";
    if (std::system(command.c_str()) != 0) {
      ADD_FAILURE() << which << ": " << text_test::slurp(folder_ + "/log").substr(0, 500);
      return {};
    }
    std::vector<Answer> answers;
    std::ifstream in(folder_ + "/out.jsonl");
    for (std::string line; std::getline(in, line);) {
      const Json parsed = Json::parse(line);
      Answer answer{parsed["ids"].get<std::vector<std::int32_t>>(), parsed["text"].get<std::string>(), {}};
      if (parsed.contains("offsets")) answer.offsets = parsed["offsets"].get<std::vector<std::pair<std::size_t, std::size_t>>>();
      answers.push_back(std::move(answer));
    }
    return answers;
  }

  std::string folder_;
};

EncodeOptions everywhere() {
  EncodeOptions options;
  options.specials = EncodeOptions::Specials::everywhere;
  return options;
}

std::vector<std::pair<std::size_t, std::size_t>> in_characters(const std::string& text, const std::vector<TokenAt>& tokens) {
  std::vector<std::size_t> character(text.size() + 1);
  std::size_t n = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) ++n;
    character[i] = n;
  }
  character[text.size()] = text.empty() ? 0 : n + 1;
  std::vector<std::pair<std::size_t, std::size_t>> out;
  for (const TokenAt& token : tokens) out.emplace_back(character[token.begin], character[token.end]);
  return out;
}

std::vector<std::string> texts_for(std::uint64_t seed, int count) {
  Rng rng({seed, 0, 0, 1});
  std::vector<std::string> texts = {"", " ", "  ", "\n", "a", "Hello world", " Hello", "<s>", "<s>Hello</s>", "word words", "a word"};
  for (int i = 0; i < count; ++i) texts.push_back(replace_invalid_utf8(i % 8 == 0 ? text_test::broken_text(rng) : text_test::hard_text(rng)));
  return texts;
}

void compare(const text_test::Family& family, const char* which, bool decode, bool offsets, const Tokenizer& tokenizer, const std::vector<std::string>& texts, const std::vector<Answer>& answers) {
  ASSERT_EQ(answers.size(), texts.size()) << family.name;
  int wrong = 0;
  std::size_t whole = 0;
  for (std::size_t i = 0; i < texts.size() && wrong < 5; ++i) {
    const auto ids = tokenizer.encode(texts[i], everywhere());
    if (ids != answers[i].ids) {
      ++wrong;
      std::string mine, theirs;
      for (const std::int32_t id : ids) mine += "[" + tokenizer.token(id) + "]";
      for (const std::int32_t id : answers[i].ids) theirs += "[" + tokenizer.token(id) + "]";
      ADD_FAILURE() << family.name << ", " << which << ": " << Json(texts[i]).dump(-1, ' ', true) << "\n  ours   " << mine << "\n  theirs " << theirs;
      continue;
    }
    const std::string decoded = tokenizer.decode(ids, true);
    if (decode && answers[i].text == texts[i] && (decoded != texts[i] || replace_invalid_utf8(tokenizer.decode(ids)) != decoded)) {
      // With special tokens in the text decode() leaves them out.
      const bool specials = std::any_of(ids.begin(), ids.end(), [&](std::int32_t id) { return tokenizer.is_special(id); });
      if (decoded != texts[i] || !specials) ADD_FAILURE() << family.name << ", " << which << ": does not come back: " << Json(texts[i]).dump(-1, ' ', true);
    }
    // A text may spell byte tokens that make no character; what becomes of those is our own (decode_chain.h).
    if (find_invalid_utf8(decoded)) continue;
    ++whole;
    if (decode && decoded != answers[i].text) {
      ++wrong;
      ADD_FAILURE() << family.name << ", " << which << ", decoded: " << Json(texts[i]).dump(-1, ' ', true) << "\n  ours   "
                    << Json(replace_invalid_utf8(tokenizer.decode(ids, true))).dump(-1, ' ', true) << "\n  theirs " << Json(answers[i].text).dump(-1, ' ', true);
    }
    if (!offsets) continue;
    const auto tokens = tokenizer.encode_with_offsets(texts[i], everywhere());
    std::vector<std::int32_t> same;
    for (const TokenAt& token : tokens) same.push_back(token.id);
    ASSERT_EQ(same, ids);
    if (in_characters(texts[i], tokens) != answers[i].offsets) {
      ++wrong;
      ADD_FAILURE() << family.name << ", " << which << ", offsets: " << Json(texts[i]).dump(-1, ' ', true) << "\n  ours   " << Json(in_characters(texts[i], tokens)).dump() << "\n  theirs " << Json(answers[i].offsets).dump();
    }
  }
  EXPECT_GT(whole, texts.size() * 9 / 10) << family.name << ": almost all texts come back as characters";
}

constexpr int kTexts = 2000;  // for each of the families

TEST_F(Peer, TwentyThousandTextsAreEncodedAndDecodedAlike) {
  std::uint64_t seed = 100;
  std::size_t total = 0, total_js = 0, back = 0;
  for (const text_test::Family& family : text_test::families()) {
    const auto tokenizer = Tokenizer::parse(family.json.dump(), family.name);
    ASSERT_TRUE(tokenizer.has_value()) << family.name << ": " << tokenizer.error().message();
    const auto texts = texts_for(++seed, kTexts);
    total += texts.size();
    const auto answers = ask("rust", family.json.dump(), texts);
    compare(family, "rust", true, family.offsets, *tokenizer, texts, answers);
    for (std::size_t i = 0; i < answers.size(); ++i) back += answers[i].text == texts[i] ? 1 : 0;
    std::vector<std::string> known;
    std::copy_if(texts.begin(), texts.end(), std::back_inserter(known), family.js);
    total_js += known.size();
    EXPECT_TRUE(family.js == text_test::js_reads_nothing || known.size() > texts.size() / 2) << family.name;
    if (!known.empty()) compare(family, "js", family.js_decodes, false, *tokenizer, known, ask("js", family.json.dump(), known));
    // What we write is the same tokenizer to both of us.
    const std::string written = tokenizer->to_json();
    const auto again = Tokenizer::parse(written, family.name);
    ASSERT_TRUE(again.has_value()) << again.error().message();
    EXPECT_EQ(again->to_json(), written);
    const std::vector<std::string> few(texts.begin(), texts.begin() + 200);
    compare(family, "rust reads ours", true, false, *again, few, ask("rust", written, few));
  }
  EXPECT_GE(total, 30000U);
  EXPECT_GE(total_js, 20000U);
  EXPECT_GE(back, 15000U) << "texts that come back whole";
  RecordProperty("texts", std::to_string(total) + " rust, " + std::to_string(total_js) + " js, " + std::to_string(back) + " back");
}

// Real vocabularies, read from other files than tokenizer.json: both peers read what we make of them.
TEST_F(Peer, RealVocabulariesAreReadAlike) {
  const std::string folder = text_test::test_data() + "/tokenizers/qwen2";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder << " (set PRECEPT_TESTDATA)";
  const auto tokenizer = load_tokenizer(folder);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  text_test::Family family;
  family.name = "Qwen2's own";
  std::vector<std::string> texts;
  for (std::string& text : texts_for(900, 2500)) {
    if (text_test::js_reads(text)) texts.push_back(std::move(text));
  }
  const std::string json = tokenizer->to_json();
  compare(family, "rust", true, true, *tokenizer, texts, ask("rust", json, texts));
  compare(family, "js", true, false, *tokenizer, texts, ask("js", json, texts));
}

}  // namespace
}  // namespace precept
