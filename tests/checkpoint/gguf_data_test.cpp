// GGUF files that others wrote.

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "precept/checkpoint/gguf.h"
#include "precept/checkpoint/gguf_vocabulary.h"

namespace precept {
namespace {

std::string data_file(const std::string& name) {
  const char* data = std::getenv("PRECEPT_TESTDATA");
  return std::string(data != nullptr ? data : "../shared/data") + "/" + name;
}

#define NEED(path) \
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << (path) << " (set PRECEPT_TESTDATA)"

struct Expected {
  const char* file;
  const char* model;
  std::size_t tokens, merges;
  int bos, eos;
};

class Vocabularies : public testing::TestWithParam<Expected> {};

TEST_P(Vocabularies, Open) {
  const std::string path = data_file(GetParam().file);
  NEED(path);
  const auto file = Gguf::open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message();
  const auto vocabulary = read_gguf_vocabulary(file->metadata());
  ASSERT_TRUE(vocabulary.has_value()) << vocabulary.error().message();
  EXPECT_EQ(vocabulary->model, GetParam().model);
  EXPECT_EQ(vocabulary->tokens.size(), GetParam().tokens);
  EXPECT_EQ(vocabulary->merges.size(), GetParam().merges);
  EXPECT_EQ(vocabulary->types.size(), GetParam().tokens);
  EXPECT_EQ(vocabulary->bos, GetParam().bos);
  EXPECT_EQ(vocabulary->eos, GetParam().eos);
  GgufMetadata again;
  write_gguf_vocabulary(*vocabulary, again);
  EXPECT_EQ(read_gguf_vocabulary(again), *vocabulary);
}

INSTANTIATE_TEST_SUITE_P(Files, Vocabularies,
                         testing::Values(Expected{"tokenizers/gguf-vocab/ggml-vocab-gpt-2.gguf", "gpt2", 50257, 50000, 50256, 50256},
                                         Expected{"tokenizers/gguf-vocab/ggml-vocab-llama-spm.gguf", "llama", 32000, 0, 1, 2},
                                         Expected{"models/stories260K.gguf", "llama", 512, 0, 1, 2}));

}  // namespace
}  // namespace precept
