// llama.cpp's test vectors: texts, and the ids that each vocabulary gives them.

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/text/stream.h"
#include "text_support.h"
#include "precept/text/tokenizer.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// Metadata of a GGUF file, as far as vocabularies need it (the checkpoint folder has the real reader; text may not use it).
struct Gguf {
  explicit Gguf(const std::string& path) : bytes(text_test::slurp(path)) {
    at = 8;
    number<std::uint64_t>();
    for (auto n = number<std::uint64_t>(); n > 0; --n) {
      const std::string key = string();
      value(key, number<std::uint32_t>());
    }
  }
  template <class T>
  T number() {
    T out;
    std::memcpy(&out, bytes.data() + at, sizeof out);
    at += sizeof out;
    return out;
  }
  std::string string() {
    const auto length = static_cast<std::size_t>(number<std::uint64_t>());
    at += length;
    return bytes.substr(at - length, length);
  }
  void value(const std::string& key, std::uint32_t type) {
    static constexpr std::size_t kSize[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 9) {
      const auto inner = number<std::uint32_t>();
      for (auto n = number<std::uint64_t>(); n > 0; --n) value(key, inner);
    } else if (type == 8) {
      strings[key].push_back(string());
    } else if (type == 6) {
      floats[key].push_back(number<float>());
    } else {
      std::int64_t out = 0;
      std::memcpy(&out, bytes.data() + at, kSize[type]);
      at += kSize[type];
      numbers[key].push_back(out);
    }
  }
  VocabularySpec vocabulary() {
    const auto one = [&](const char* key) -> std::optional<std::int32_t> {
      const auto found = numbers.find(std::string("tokenizer.ggml.") + key);
      if (found == numbers.end()) return std::nullopt;
      return static_cast<std::int32_t>(found->second.at(0));
    };
    VocabularySpec spec;
    spec.model = strings["tokenizer.ggml.model"].at(0);
    if (!strings["tokenizer.ggml.pre"].empty()) spec.pre = strings["tokenizer.ggml.pre"][0];
    spec.tokens = strings["tokenizer.ggml.tokens"];
    spec.merges = strings["tokenizer.ggml.merges"];
    spec.scores = floats["tokenizer.ggml.scores"];
    for (const std::int64_t type : numbers["tokenizer.ggml.token_type"]) spec.token_types.push_back(static_cast<std::int32_t>(type));
    spec.bos_id = one("bos_token_id");
    spec.eos_id = one("eos_token_id");
    spec.unk_id = one("unknown_token_id");
    spec.add_bos = one("add_bos_token").value_or(0) != 0;
    return spec;
  }

  std::string bytes;
  std::size_t at = 0;
  std::map<std::string, std::vector<std::string>> strings;
  std::map<std::string, std::vector<std::int64_t>> numbers;
  std::map<std::string, std::vector<float>> floats;
};

std::vector<std::string> inputs(const std::string& path) {
  const std::string all = text_test::slurp(path), between = "\n__ggml_vocab_test__\n";
  std::vector<std::string> out;
  std::size_t at = 0;
  for (std::size_t end = all.find(between); end != std::string::npos; end = all.find(between, at)) {
    out.push_back(all.substr(at, end - at));
    at = end + between.size();
  }
  return out;
}

std::vector<std::vector<std::int32_t>> outputs(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::vector<std::int32_t>> out;
  for (std::string line; std::getline(in, line);) {
    std::istringstream numbers(line);
    out.emplace_back();
    for (std::int32_t id; numbers >> id;) out.back().push_back(id);
  }
  return out;
}

void check(const Tokenizer& tokenizer, const std::string& vectors) {
  const auto texts = inputs(vectors + ".inp");
  const auto ids = outputs(vectors + ".out");
  ASSERT_GT(texts.size(), 40u);
  ASSERT_GE(ids.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer.encode(texts[i]), ids[i]) << "text " << i << ": " << texts[i];
    EXPECT_EQ(tokenizer.decode(ids[i]), texts[i]) << "text " << i;
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const std::int32_t id : ids[i]) streamed += stream.feed(id);
    EXPECT_EQ(streamed + stream.finish(), texts[i]);
  }
}

class Vectors : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder << " (set PRECEPT_TESTDATA)";
  }
  const std::string folder = text_test::test_data() + "/tokenizers";
};

TEST_F(Vectors, Gpt2) {
  auto spec = Gguf(folder + "/gguf-vocab/ggml-vocab-gpt-2.gguf").vocabulary();
  const auto tokenizer = Tokenizer::from_vocabulary(spec);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  check(*tokenizer, folder + "/gguf-vocab/ggml-vocab-gpt-2.gguf");
  EXPECT_EQ(tokenizer->token(*tokenizer->eos_id()), "<|endoftext|>");
  const auto again = Tokenizer::parse(tokenizer->to_json(), "again");
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->digest(), tokenizer->digest());
  spec.pre = "klingon";
  EXPECT_FALSE(Tokenizer::from_vocabulary(spec).has_value());
}

TEST_F(Vectors, LlamaSentencePiece) {
  const auto spec = Gguf(folder + "/gguf-vocab/ggml-vocab-llama-spm.gguf").vocabulary();
  const auto tokenizer = Tokenizer::from_vocabulary(spec);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  check(*tokenizer, folder + "/gguf-vocab/ggml-vocab-llama-spm.gguf");
  EXPECT_EQ(tokenizer->token(*tokenizer->bos_id()), "<s>");
  // Converted as transformers does, it is the same.
  const auto again = Tokenizer::parse(tokenizer->to_json(), "again");
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->digest(), tokenizer->digest());
  check(*again, folder + "/gguf-vocab/ggml-vocab-llama-spm.gguf");
  EncodeOptions whole;
  whole.add_special_tokens = true;
  EXPECT_EQ(tokenizer->encode("Hello", whole).front(), spec.add_bos ? 1 : tokenizer->encode("Hello").front());
  for (const std::int32_t id : tokenizer->encode("<s></s><unk>")) EXPECT_FALSE(tokenizer->is_special(id));
}

TEST_F(Vectors, Qwen2FromVocabularyAndMerges) {
  const auto tokenizer = load_tokenizer(folder + "/qwen2");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
  check(*tokenizer, folder + "/gguf-vocab/ggml-vocab-qwen2.gguf");
  EXPECT_EQ(tokenizer->size(), 151646);
  EXPECT_EQ(tokenizer->eos_id(), 151645);
  EXPECT_EQ(tokenizer->pad_id(), 151643);
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
  EncodeOptions options;
  options.specials = EncodeOptions::Specials::everywhere;
  EXPECT_EQ(tokenizer->encode("<|im_start|>user\nhi<|im_end|>", options), (std::vector<std::int32_t>{151644, 872, 198, 6023, 151645}));
}

}  // namespace
}  // namespace precept
