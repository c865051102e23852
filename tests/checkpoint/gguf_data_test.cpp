// GGUF files that others wrote.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/gguf_vocabulary.h"
#include "precept/core/io.h"

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

// The .bin: seven 32-bit numbers, then fp32 weights one kind after the other, in the order that its authors train with: the
// rotation turns neighbouring elements of a head.
struct Bin {
  std::vector<std::int32_t> header;  // dim, hidden, layers, heads, kv heads, vocabulary, positions
  std::vector<float> weights;
  std::size_t at = 0;

  std::vector<float> next(std::size_t count) {
    std::vector<float> out(weights.begin() + static_cast<std::ptrdiff_t>(at), weights.begin() + static_cast<std::ptrdiff_t>(at + count));
    at += count;
    return out;
  }
};

Bin read_bin(const std::string& path) {
  const std::string bytes = read_file(path).value();
  Bin bin;
  bin.header.resize(7);
  std::memcpy(bin.header.data(), bytes.data(), 28);
  bin.weights.resize((bytes.size() - 28) / 4);
  std::memcpy(bin.weights.data(), bytes.data() + 28, bin.weights.size() * 4);
  return bin;
}

// As Hugging Face has it: (heads, pairs, 2, columns) becomes (heads, 2, pairs, columns).
std::vector<float> halves_first(const std::vector<float>& rows, std::size_t head_dim, std::size_t columns) {
  std::vector<float> out;
  for (std::size_t head = 0; head < rows.size() / (head_dim * columns); ++head) {
    for (std::size_t part = 0; part < 2; ++part) {
      for (std::size_t pair = 0; pair < head_dim / 2; ++pair) {
        const std::size_t row = head * head_dim + 2 * pair + part;
        for (std::size_t c = 0; c < columns; ++c) out.push_back(rows[row * columns + c]);
      }
    }
  }
  return out;
}

TEST(Stories260K, WeightsAndShapeAreThoseOfTheOriginal) {
  const std::string path = data_file("models/stories260K.gguf"), original = data_file("models/stories260K.bin");
  NEED(path);
  NEED(original);
  const auto file = Gguf::open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message();
  const auto shape = read_gguf_shape(file->metadata());
  ASSERT_TRUE(shape.has_value()) << shape.error().message();
  Bin bin = read_bin(original);
  const std::size_t dim = 64, hidden = 172, layers = 5, kv = 32, vocabulary = 512, head_dim = 8;
  EXPECT_EQ(bin.header, (std::vector<std::int32_t>{64, 172, 5, 8, 4, 512, 512}));
  EXPECT_EQ(shape->embedding_length, 64);
  EXPECT_EQ(shape->feed_forward_length, 172);
  EXPECT_EQ(shape->block_count, 5);
  EXPECT_EQ(shape->head_count, 8);
  EXPECT_EQ(shape->head_count_kv, 4);
  EXPECT_EQ(shape->key_length, 8);
  EXPECT_EQ(shape->vocab_size, 512);
  EXPECT_EQ(shape->context_length, 512);
  EXPECT_EQ(shape->rms_epsilon, 1e-5);

  const auto tensors = hf_tensors(*file, *shape);
  ASSERT_TRUE(tensors.has_value()) << tensors.error().message();
  std::size_t compared = 0;
  const auto compare = [&](const std::string& name, const std::vector<float>& want) {
    const auto found = std::find_if(tensors->begin(), tensors->end(), [&](const HfTensor& t) { return t.name == name; });
    ASSERT_NE(found, tensors->end()) << name;
    std::vector<float> have(want.size());
    ASSERT_EQ(static_cast<std::size_t>(found->tensor->row() * found->tensor->rows()), want.size()) << name;
    found->read(0, have);
    EXPECT_EQ(have, want) << name;
    ++compared;
  };
  const auto each_layer = [&](const std::string& name, std::size_t rows, std::size_t columns, bool rotated) {
    for (std::size_t layer = 0; layer < layers; ++layer) {
      const std::vector<float> raw = bin.next(rows * columns);
      compare("model.layers." + std::to_string(layer) + "." + name, rotated ? halves_first(raw, head_dim, columns) : raw);
    }
  };
  compare("model.embed_tokens.weight", bin.next(vocabulary * dim));
  each_layer("input_layernorm.weight", 1, dim, false);
  each_layer("self_attn.q_proj.weight", dim, dim, true);
  each_layer("self_attn.k_proj.weight", kv, dim, true);
  each_layer("self_attn.v_proj.weight", kv, dim, false);
  each_layer("self_attn.o_proj.weight", dim, dim, false);
  each_layer("post_attention_layernorm.weight", 1, dim, false);
  each_layer("mlp.gate_proj.weight", hidden, dim, false);
  each_layer("mlp.down_proj.weight", dim, hidden, false);
  each_layer("mlp.up_proj.weight", hidden, dim, false);
  compare("model.norm.weight", bin.next(dim));
  EXPECT_EQ(compared, tensors->size() - (file->find("output.weight") != nullptr ? 1 : 0));
  EXPECT_EQ(compared, 47u);
}

// Hugging Face's order and names and back: what llama.cpp would read is what it read before.
TEST(Stories260K, WrittenAgainEveryTensorHasTheSameBytes) {
  const std::string path = data_file("models/stories260K.gguf");
  NEED(path);
  const Gguf file = Gguf::open(path).value();
  const GgufShape shape = read_gguf_shape(file.metadata()).value();
  std::vector<std::string> bytes;
  std::vector<TensorView> views;
  const std::vector<HfTensor> tensors = hf_tensors(file, shape).value();
  bytes.reserve(tensors.size());
  for (const HfTensor& tensor : tensors) {
    std::vector<float> all(static_cast<std::size_t>(tensor.tensor->row() * tensor.tensor->rows()));
    tensor.read(0, all);
    bytes.push_back(ggml_from_floats(GgmlType::kF32, all).value());
    views.push_back({tensor.name, Dtype::kF32, tensor.tensor->shape, bytes.back()});
  }
  GgufMetadata metadata;
  write_gguf_vocabulary(read_gguf_vocabulary(file.metadata()).value(), metadata);
  // PRECEPT_KEEP_GGUF names a folder in which the files stay, for other programs to open.
  const char* keep = std::getenv("PRECEPT_KEEP_GGUF");
  const std::string folder = keep != nullptr ? keep : testing::TempDir() + "precept_stories_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ8_0}) {
    const std::string again = folder + "/stories-" + std::string(ggml_type_name(type)) + ".gguf";
    const auto written = write_gguf_llama(again, metadata, shape, views, type);
    ASSERT_TRUE(written.has_value()) << written.error().message();
    const auto read = Gguf::open(again);
    ASSERT_TRUE(read.has_value()) << read.error().message();
    EXPECT_EQ(read_gguf_shape(read->metadata()).value(), shape);
    ASSERT_EQ(read->tensors().size(), file.tensors().size());
    for (const GgufTensor& tensor : file.tensors()) {
      const GgufTensor* other = read->find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      if (type == GgmlType::kF32) {
        EXPECT_EQ(other->bytes, tensor.bytes) << tensor.name;
      }
    }
  }
  if (keep == nullptr) std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace precept
