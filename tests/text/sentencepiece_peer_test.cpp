// Against SentencePiece itself (Debian: sentencepiece): it trains models here, and encodes and decodes the same texts.

#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/core/io.h"
#include "precept/text/stream.h"
#include "precept/text/tokenizer.h"
#include "text_support.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class SentencePiecePeer : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("spm_encode --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "spm_encode is not installed: scripts/install-packages";
    folder_ = testing::TempDir() + "precept_spm_" + std::to_string(::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override {
    if (!folder_.empty()) fs::remove_all(folder_);
  }

  void write(const std::string& name, const std::vector<std::string>& lines) const {
    std::ofstream out(folder_ + "/" + name, std::ios::binary);
    for (const std::string& line : lines) out << line << "\n";
  }
  std::vector<std::string> lines(const std::string& name) const {
    std::vector<std::string> out;
    std::ifstream in(folder_ + "/" + name, std::ios::binary);
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
  void run(const std::string& command) const {
    ASSERT_EQ(std::system(("cd " + folder_ + " && " + command + " 2>log").c_str()), 0) << command << "\n" << text_test::slurp(folder_ + "/log");
  }

  std::string folder_;
};

// A line each: no line ends.
std::vector<std::string> one_line_texts(std::uint64_t seed, int count) {
  Rng rng({seed, 0, 0, 2});
  std::vector<std::string> texts;
  while (static_cast<int>(texts.size()) < count) {
    std::string text = replace_invalid_utf8(texts.size() % 8 == 0 ? text_test::broken_text(rng) : text_test::hard_text(rng, 20));
    for (char& c : text) {
      if (c == '\n' || c == '\r' || c == '\0') c = ' ';
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

// Of few characters, so that small vocabularies hold words.
std::vector<std::string> corpus() {
  Rng rng({41, 0, 0, 2});
  std::vector<std::string> lines(3000);
  for (std::string& line : lines) {
    for (int n = 0; n < 12; ++n) line += rng.pick(text_test::hard_parts()) + (rng.below(2) == 0 ? " " : "");
    line.erase(std::remove_if(line.begin(), line.end(), [](char c) { return c == '\n' || c == '\r'; }), line.end());
  }
  return lines;
}

std::string numbers(const std::vector<std::int32_t>& ids) {
  std::string out;
  for (const std::int32_t id : ids) out += (out.empty() ? "" : " ") + std::to_string(id);
  return out;
}

TEST_F(SentencePiecePeer, ModelsOfBothTypesReadTextsAsTheirHomeDoes) {
  write("corpus.txt", corpus());
  const auto texts = one_line_texts(42, 2500);
  write("texts.txt", texts);
  const char* const kKinds[] = {
      "--model_type=bpe --byte_fallback=true --normalization_rule_name=identity --remove_extra_whitespaces=false",  // Llama 2, Mistral
      "--model_type=bpe --character_coverage=0.98",
      "--model_type=bpe --byte_fallback=true --user_defined_symbols='<|end|>,zebra,ââ' --add_dummy_prefix=false --remove_extra_whitespaces=false --split_digits=true --normalization_rule_name=nfkc",  // Gemma
      "--model_type=unigram --character_coverage=0.98",  // T5, XLM-R
      "--model_type=unigram --byte_fallback=true --user_defined_symbols='<|end|>,zebra' --normalization_rule_name=nmt_nfkc_cf",
      "--model_type=unigram --normalization_rule_name=identity --remove_extra_whitespaces=false --add_dummy_prefix=false --control_symbols='<|im_start|>'",
  };
  std::size_t same = 0;
  for (const std::string kind : kKinds) {
    SCOPED_TRACE(kind);
    run("spm_train --input=corpus.txt --model_prefix=m --vocab_size=1200 --hard_vocab_limit=false --minloglevel=2 " + kind);
    run("spm_encode --model=m.model --output_format=id <texts.txt >ids.txt");
    run("spm_decode --model=m.model --input_format=id <ids.txt >back.txt");
    const auto ids = lines("ids.txt"), back = lines("back.txt");
    ASSERT_EQ(ids.size(), texts.size());
    ASSERT_EQ(back.size(), texts.size());
    const auto tokenizer = Tokenizer::parse_sentencepiece(text_test::slurp(folder_ + "/m.model"), "m.model");
    ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message();
    const std::string unknown = " " + std::to_string(tokenizer->unk_id().value_or(-1)) + " ";
    int wrong = 0;
    for (std::size_t i = 0; i < texts.size() && wrong < 5; ++i) {
      const auto ours = tokenizer->encode(texts[i]);
      const std::string decoded = tokenizer->decode(ours);
      // Where a character is unknown it decodes to " \u2047 " there, and to nothing here (as with `transformers`).
      const bool lost = (" " + ids[i] + " ").find(unknown) != std::string::npos;
      if (numbers(ours) == ids[i] && (lost || replace_invalid_utf8(decoded) == replace_invalid_utf8(back[i]))) {
        ++same;
        continue;
      }
      ++wrong;
      std::string spelled;
      for (const std::int32_t id : ours) spelled += "[" + tokenizer->token(id) + "]";
      ADD_FAILURE() << "text \"" << texts[i] << "\"\n  ours   " << numbers(ours) << " \"" << decoded << "\"\n  theirs " << ids[i] << " \"" << back[i] << "\"\n  " << spelled;
    }
  }
  EXPECT_EQ(same, std::size(kKinds) * texts.size());
}

}  // namespace
}  // namespace precept
