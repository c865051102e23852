// Names, order of rows, shape, rope factors and vocabulary of Llama-like models.

#include "precept/checkpoint/gguf_llama.h"

#include <cmath>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/checkpoint/gguf_vocabulary.h"
#include "precept/checkpoint/half.h"
#include "precept/core/io.h"

namespace precept {
namespace {

using testing::HasSubstr;

TEST(GgufNames, BothWays) {
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"token_embd.weight", "model.embed_tokens.weight"},
      {"output_norm.weight", "model.norm.weight"},
      {"output.weight", "lm_head.weight"},
      {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
      {"blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"},
      {"blk.12.attn_q.bias", "model.layers.12.self_attn.q_proj.bias"},
      {"blk.1.attn_k.weight", "model.layers.1.self_attn.k_proj.weight"},
      {"blk.1.attn_v.bias", "model.layers.1.self_attn.v_proj.bias"},
      {"blk.1.attn_output.weight", "model.layers.1.self_attn.o_proj.weight"},
      {"blk.1.attn_q_norm.weight", "model.layers.1.self_attn.q_norm.weight"},
      {"blk.1.attn_k_norm.weight", "model.layers.1.self_attn.k_norm.weight"},
      {"blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
      {"blk.1.ffn_gate.weight", "model.layers.1.mlp.gate_proj.weight"},
      {"blk.1.ffn_up.weight", "model.layers.1.mlp.up_proj.weight"},
      {"blk.127.ffn_down.weight", "model.layers.127.mlp.down_proj.weight"}};
  for (const auto& pair : pairs) {
    EXPECT_EQ(hf_name_of_gguf(pair.first), pair.second);
    EXPECT_EQ(gguf_name_of_hf(pair.second), pair.first);
    EXPECT_EQ(hf_name_of_gguf(pair.second), std::nullopt);
  }
  for (const char* name : {"", "blk.", "blk.1", "blk.01.attn_q.weight", "blk.x.attn_q.weight", "blk.-1.attn_q.weight", "blk.1.attn_q",
                           "blk.1.attn_q.scale", "blk.1..weight", "blk.1.weight", "rope_freqs.weight", "blk.1.ffn_gate_exps.weight",
                           "blk.99999.attn_q.weight", "token_embd.bias"}) {
    EXPECT_EQ(hf_name_of_gguf(name), std::nullopt) << name;
  }
}

// The converter's permute, written as it is told: (heads, 2, half, ...) with the middle two swapped.
TEST(GgufRows, TheOrderIsTheConverters) {
  const std::int64_t heads = 3, half = 4, head_dim = 2 * half;
  std::int64_t at = 0;
  for (std::int64_t head = 0; head < heads; ++head) {
    for (std::int64_t i = 0; i < half; ++i) {
      for (std::int64_t part = 0; part < 2; ++part, ++at) {  // row `at` of the result
        EXPECT_EQ(hf_row_of_gguf(at, head_dim), (head * 2 + part) * half + i);
        EXPECT_EQ(gguf_row_of_hf(hf_row_of_gguf(at, head_dim), head_dim), at);
      }
    }
  }
  EXPECT_TRUE(gguf_permuted("llama", "blk.3.attn_q.weight"));
  EXPECT_TRUE(gguf_permuted("llama", "blk.3.attn_k.bias"));
  EXPECT_FALSE(gguf_permuted("llama", "blk.3.attn_v.weight"));
  EXPECT_FALSE(gguf_permuted("llama", "blk.3.attn_q_norm.weight"));
  EXPECT_FALSE(gguf_permuted("qwen2", "blk.3.attn_q.weight"));
  EXPECT_FALSE(gguf_permuted("qwen3", "blk.3.attn_k.weight"));
}

GgufShape shape_of(const std::string& architecture) {
  GgufShape s;
  s.architecture = architecture;
  s.block_count = 2;
  s.context_length = 128;
  s.embedding_length = 32;
  s.feed_forward_length = 64;
  s.head_count = 4;
  s.head_count_kv = 2;
  s.key_length = s.value_length = s.rope_dimension_count = 8;
  s.vocab_size = 10;
  s.rms_epsilon = 1e-6;
  s.rope_freq_base = 1e6;
  return s;
}

TEST(GgufShapes, ComeBackTheSame) {
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
    GgufShape shape = shape_of(architecture);
    for (const char* type : {"none", "linear", "yarn", "longrope"}) {
      shape.rope_scaling.type = type;
      if (std::string(type) == "yarn") {
        shape.sliding_window = 4096;
        shape.rope_scaling = {"yarn", 4, 32768, 1.1, 0.1, 1, 0.9, 32, 1};
      } else if (std::string(type) == "linear") {
        shape.rope_scaling.factor = 2.5;
      }
      GgufMetadata m;
      write_gguf_shape(shape, m);
      const auto again = read_gguf_shape(m);
      ASSERT_TRUE(again.has_value()) << again.error().message();
      EXPECT_EQ(*again, shape) << architecture << " " << type;
      shape = shape_of(architecture);
    }
  }
}

TEST(GgufShapes, FillInWhatMayBeAbsent) {
  GgufMetadata m;
  m.values = {{"general.architecture", std::string("llama")}, {"llama.block_count", std::uint32_t{2}},
              {"llama.context_length", std::uint64_t{128}}, {"llama.embedding_length", std::uint16_t{32}},
              {"llama.feed_forward_length", std::vector<std::int32_t>{64, 64}}, {"llama.attention.head_count", std::int32_t{4}},
              {"llama.attention.layer_norm_rms_epsilon", 1e-5F},
              {"tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "c"}}};
  const auto s = read_gguf_shape(m);
  ASSERT_TRUE(s.has_value()) << s.error().message();
  EXPECT_EQ(s->head_count_kv, 4);
  EXPECT_EQ(s->key_length, 8);
  EXPECT_EQ(s->value_length, 8);
  EXPECT_EQ(s->rope_dimension_count, 8);
  EXPECT_EQ(s->feed_forward_length, 64);
  EXPECT_EQ(s->vocab_size, 3);
  EXPECT_EQ(s->rms_epsilon, 1e-5);  // not the double nearest to f32
  EXPECT_EQ(s->rope_freq_base, 10000);
  EXPECT_EQ(s->rope_scaling, GgufRopeScaling{});
  m.values.insert_or_assign("llama.embedding_length", std::uint32_t{1 << 18});  // found by fuzz/gguf.cpp
  EXPECT_THAT(read_gguf_shape(m).error().what, HasSubstr("attention.key_length would be 65536, more than 16384"));
  m.values.insert_or_assign("llama.embedding_length", std::uint32_t{32});
  m.values.insert_or_assign("llama.rope.scale_linear", 4.0F);  // the older name; a factor without a type is linear
  EXPECT_EQ(read_gguf_shape(m)->rope_scaling.type, "linear");
  EXPECT_EQ(read_gguf_shape(m)->rope_scaling.factor, 4);
}

TEST(GgufShapes, RefuseByName) {
  const auto refusal = [](const std::string& key, std::optional<GgufValue> value) {
    GgufMetadata m;
    m.file = "m.gguf";
    write_gguf_shape(shape_of("llama"), m);
    m.values.erase(key);
    if (value) m.values.insert_or_assign(key, *value);
    const auto read = read_gguf_shape(m);
    if (read) return std::string("(accepted)");
    EXPECT_EQ(read.error().file, "m.gguf");
    EXPECT_FALSE(read.error().hint.empty());
    return read.error().what;
  };
  EXPECT_EQ(refusal("general.name", std::string("x")), "(accepted)");
  EXPECT_THAT(refusal("general.architecture", std::string("gemma")), HasSubstr("\"gemma\" is not supported"));
  EXPECT_THAT(refusal("general.architecture", std::nullopt), HasSubstr("general.architecture"));
  EXPECT_THAT(refusal("general.architecture", std::string("qwen2")), HasSubstr("qwen2.block_count"));
  EXPECT_THAT(refusal("split.count", std::uint16_t{3}), HasSubstr("split file"));
  EXPECT_THAT(refusal("llama.expert_count", std::uint32_t{8}), HasSubstr("mixture of experts"));
  EXPECT_EQ(refusal("llama.expert_count", std::uint32_t{0}), "(accepted)");
  EXPECT_THAT(refusal("llama.attn_logit_softcapping", 30.0F), HasSubstr("llama.attn_logit_softcapping"));
  EXPECT_THAT(refusal("llama.feed_forward_length", std::vector<std::uint32_t>{64, 32}), HasSubstr("differs from layer to layer"));
  EXPECT_THAT(refusal("llama.feed_forward_length", std::vector<std::uint32_t>{}), HasSubstr("differs from layer to layer"));
  EXPECT_THAT(refusal("llama.block_count", std::nullopt), HasSubstr("no \"llama.block_count\""));
  EXPECT_THAT(refusal("llama.block_count", std::uint32_t{0}), HasSubstr("is 0"));
  EXPECT_THAT(refusal("llama.block_count", std::int32_t{-1}), HasSubstr("llama.block_count"));
  EXPECT_THAT(refusal("llama.block_count", std::string("2")), HasSubstr("(string) is not a whole number"));
  EXPECT_THAT(refusal("llama.vocab_size", std::nullopt), HasSubstr("vocabulary"));
  EXPECT_THAT(refusal("llama.attention.head_count_kv", std::uint32_t{3}), HasSubstr("does not divide"));
  EXPECT_THAT(refusal("llama.attention.key_length", std::uint32_t{7}), HasSubstr("key_length is 7"));
  EXPECT_THAT(refusal("llama.rope.dimension_count", std::uint32_t{10}), HasSubstr("dimension_count is 10"));
  EXPECT_THAT(refusal("llama.attention.layer_norm_rms_epsilon", std::nullopt), HasSubstr("layer_norm_rms_epsilon"));
  EXPECT_THAT(refusal("llama.attention.layer_norm_rms_epsilon", -1.0F), HasSubstr("out of range"));
  EXPECT_THAT(refusal("llama.rope.freq_base", std::nanf("")), HasSubstr("not a finite number"));
  EXPECT_THAT(refusal("llama.rope.scaling.type", std::string("su")), HasSubstr("\"su\" is not supported"));
}

// Llama 3.1: theta 500000, 128 elements a head, factor 8, 1 and 4, 8192 positions.
TEST(RopeFactors, AreLlama3s) {
  const auto factors = llama3_rope_factors({8, 1, 4, 8192}, 500000, 128);
  ASSERT_EQ(factors.size(), 64u);
  for (std::size_t i = 0; i < 64; ++i) {
    const double wavelength = 2 * M_PI * std::pow(500000.0, static_cast<double>(i) / 64);
    if (wavelength < 2048) {
      EXPECT_EQ(factors[i], 1) << i;
    } else if (wavelength > 8192) {
      EXPECT_EQ(factors[i], 8) << i;
    } else {
      // Hugging Face's form: frequency' = (1 - s) * frequency / 8 + s * frequency, s = (8192 / wavelength - 1) / 3.
      const double s = (8192 / wavelength - 1) / 3, frequency = 2 * M_PI / wavelength;
      EXPECT_NEAR(frequency / factors[i], (1 - s) * frequency / 8 + s * frequency, 1e-9) << i;
    }
  }
  EXPECT_EQ(factors[28], 1);
  EXPECT_NEAR(factors[29], 1.2075, 1e-4);  // the first between; wavelength 2401.8
  EXPECT_EQ(factors[35], 8);
}

class Export : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "precept_gguf_llama_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }

  void add(const std::string& name, std::vector<std::int64_t> shape) {
    std::size_t count = 1;
    for (const std::int64_t n : shape) count *= static_cast<std::size_t>(n);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>((i * 7 + tensors_.size()) % 127) - 63;
    bytes_.push_back(std::make_unique<std::string>(to_bf16_bytes(values)));
    tensors_.push_back({name, Dtype::kBF16, std::move(shape), *bytes_.back()});
  }
  // A model of shape_of(); qwen2 has biases.
  void make(const std::string& architecture) {
    tensors_.clear();
    add("model.embed_tokens.weight", {10, 32});
    add("model.norm.weight", {32});
    for (const char* layer : {"model.layers.0.", "model.layers.1."}) {
      const std::string l = layer;
      add(l + "self_attn.q_proj.weight", {32, 32});
      add(l + "self_attn.k_proj.weight", {16, 32});
      if (architecture == "qwen2") add(l + "self_attn.q_proj.bias", {32});
      if (architecture == "llama") add(l + "self_attn.k_proj.bias", {16});
      if (architecture == "qwen3") add(l + "self_attn.q_norm.weight", {8});
      add(l + "mlp.down_proj.weight", {32, 40});  // 40 is no multiple of 32
    }
  }

  std::string folder_;
  std::vector<std::unique_ptr<std::string>> bytes_;
  std::vector<TensorView> tensors_;
};

TEST_F(Export, ACheckpointComesBack) {
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
    make(architecture);
    for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ8_0}) {
      const GgufShape shape = shape_of(architecture);
      GgufMetadata metadata;
      metadata.values = {{"general.name", std::string("test")}};
      const auto written = write_gguf_llama(at("m"), metadata, shape, tensors_, type, {1, 2, 4, 8});
      ASSERT_TRUE(written.has_value()) << written.error().message();
      const auto file = Gguf::open(at("m"));
      ASSERT_TRUE(file.has_value()) << file.error().message();
      EXPECT_EQ(read_gguf_shape(file->metadata()).value(), shape);
      EXPECT_EQ(file->metadata().integer("general.quantization_version", 0, 9).value(), 2);
      EXPECT_EQ(read_rope_factors(*file, shape).value(), (std::vector<float>{1, 2, 4, 8}));
      const auto back = hf_tensors(*file, shape);
      ASSERT_TRUE(back.has_value()) << back.error().message();
      ASSERT_EQ(back->size(), tensors_.size());
      for (const HfTensor& tensor : *back) {
        const auto source = std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorView& t) { return t.name == tensor.name; });
        ASSERT_NE(source, tensors_.end()) << tensor.name;
        EXPECT_EQ(tensor.tensor->shape, source->shape);
        const std::vector<float> given = to_floats(*source).value();
        std::vector<float> all(given.size());
        tensor.read(0, all);
        std::vector<std::uint16_t> halves(given.size());
        tensor.read_bf16(0, halves);
        const bool exact = type != GgmlType::kQ8_0 || tensor.tensor->type != type;
        for (std::size_t i = 0; i < given.size(); ++i) {
          ASSERT_NEAR(all[i], given[i], exact ? 0 : 0.3) << tensor.name << " " << i;
          ASSERT_EQ(halves[i], float_to_bf16(all[i])) << tensor.name << " " << i;
        }
        EXPECT_EQ(tensor.tensor->type, source->shape.size() == 1 ? GgmlType::kF32
                                       : source->shape.back() == 40 && type == GgmlType::kQ8_0 ? GgmlType::kF16 : type);
      }
      // The first head's second row of q: Hugging Face's row 4 for llama, row 1 else.
      std::vector<float> row(32);
      file->find("blk.0.attn_q.weight")->read(1, row);
      const auto q = std::find_if(tensors_.begin(), tensors_.end(), [](const TensorView& t) { return t.name == "model.layers.0.self_attn.q_proj.weight"; });
      const std::vector<float> given = to_floats(*q).value();
      const std::size_t from = std::string(architecture) == "llama" ? 4 : 1;
      for (std::size_t i = 0; i < 32; ++i) ASSERT_NEAR(row[i], given[32 * from + i], 0.3);
    }
  }
}

TEST_F(Export, RefusesWhatDoesNotFit) {
  const GgufShape shape = shape_of("llama");
  const auto refusal = [&](const std::string& name, std::vector<std::int64_t> sizes, Dtype dtype = Dtype::kBF16) {
    tensors_.clear();
    add(name, std::move(sizes));
    tensors_[0].dtype = dtype;
    const auto done = write_gguf_llama(at("m"), {}, shape, tensors_, GgmlType::kF16);
    return done ? std::string("(accepted)") : done.error().what;
  };
  EXPECT_EQ(refusal("model.norm.weight", {32}), "(accepted)");
  EXPECT_THAT(refusal("model.vision.weight", {32}), HasSubstr("no name in GGUF"));
  EXPECT_THAT(refusal("model.norm.weight", {32}, Dtype::kI16), HasSubstr("is I16"));
  EXPECT_THAT(refusal("model.norm.weight", {0}), HasSubstr("positive sizes"));
  EXPECT_THAT(refusal("model.layers.0.self_attn.q_proj.weight", {12, 32}), HasSubstr("whole heads"));
  EXPECT_FALSE(write_gguf_llama(at("m"), {}, shape, tensors_, GgmlType::kQ4K).has_value());

  const auto reading = [&](const std::string& name, std::vector<std::int64_t> sizes) {
    const auto rows = [](std::size_t, std::int64_t, std::span<float> out) -> Status {
      std::fill(out.begin(), out.end(), -1.0F);
      return {};
    };
    EXPECT_TRUE(write_gguf(at("m"), {}, {{name, GgmlType::kF32, std::move(sizes)}}, rows).has_value());
    const Gguf file = Gguf::open(at("m")).value();
    const auto factors = read_rope_factors(file, shape);
    if (!factors) return factors.error().what;
    const auto tensors = hf_tensors(file, shape);
    return tensors ? std::string("(accepted)") : tensors.error().what;
  };
  EXPECT_EQ(reading("blk.1.attn_q.weight", {16, 4}), "(accepted)");
  EXPECT_THAT(reading("blk.1.attn_q.weight", {12, 4}), HasSubstr("whole heads"));
  EXPECT_THAT(reading("blk.2.attn_q.weight", {16, 4}), HasSubstr("beyond block_count"));
  EXPECT_THAT(reading("blk.1.ffn_gate_exps.weight", {16, 4}), HasSubstr("has no place in the architecture llama"));
  EXPECT_THAT(reading("rope_freqs.weight", {3}), HasSubstr("does not hold 4 factors"));
  EXPECT_THAT(reading("rope_freqs.weight", {4}), HasSubstr("not positive"));
}

GgufVocabulary vocabulary() {
  GgufVocabulary v;
  v.model = "gpt2";
  v.pre = "qwen2";
  v.tokens = {"a", "b", "ab", "<|end|>"};
  v.scores = {0, -1, -2, 0};
  v.types = {GgufTokenType::kNormal, GgufTokenType::kByte, GgufTokenType::kUserDefined, GgufTokenType::kControl};
  v.merges = {"a b"};
  v.bos = 3;
  v.eos = 3;
  v.eot = 2;
  v.eom = 1;
  v.unk = 0;
  v.pad = 1;
  v.add_bos = false;
  v.add_eos = true;
  v.add_space_prefix = false;
  v.chat_template = "{{ messages }}";
  return v;
}

TEST(GgufVocabularies, ComeBackTheSame) {
  GgufMetadata m;
  write_gguf_vocabulary(vocabulary(), m);
  EXPECT_EQ(read_gguf_vocabulary(m), vocabulary());
  GgufVocabulary least;
  least.model = "llama";
  least.tokens = {"a"};
  GgufMetadata small;
  write_gguf_vocabulary(least, small);
  EXPECT_EQ(small.values.size(), 2u);
  EXPECT_EQ(read_gguf_vocabulary(small), least);
}

TEST(GgufVocabularies, RefuseByName) {
  const auto refusal = [](const std::string& key, std::optional<GgufValue> value) {
    GgufMetadata m;
    write_gguf_vocabulary(vocabulary(), m);
    m.values.erase("tokenizer." + key);
    if (value) m.values.insert_or_assign("tokenizer." + key, *value);
    const auto read = read_gguf_vocabulary(m);
    return read ? std::string("(accepted)") : read.error().what;
  };
  EXPECT_EQ(refusal("ggml.seperator_token_id", std::uint32_t{1}), "(accepted)");
  EXPECT_THAT(refusal("ggml.model", std::nullopt), HasSubstr("ggml.model"));
  EXPECT_THAT(refusal("ggml.pre", std::uint32_t{1}), HasSubstr("ggml.pre"));
  EXPECT_THAT(refusal("ggml.tokens", std::nullopt), HasSubstr("ggml.tokens"));
  EXPECT_THAT(refusal("ggml.tokens", std::vector<std::string>{}), HasSubstr("0 tokens"));
  EXPECT_THAT(refusal("ggml.scores", std::vector<float>{1}), HasSubstr("1 elements for 4 tokens"));
  EXPECT_THAT(refusal("ggml.token_type", std::vector<std::int32_t>{1, 1, 1}), HasSubstr("3 elements for 4 tokens"));
  EXPECT_THAT(refusal("ggml.token_type", std::vector<std::int32_t>{1, 1, 1, 7}), HasSubstr("within 0 and 6"));
  EXPECT_THAT(refusal("ggml.merges", std::string("a b")), HasSubstr("ggml.merges"));
  EXPECT_THAT(refusal("ggml.bos_token_id", std::uint32_t{4}), HasSubstr("bos_token_id"));
  EXPECT_THAT(refusal("ggml.eos_token_id", std::int32_t{-1}), HasSubstr("eos_token_id"));
  EXPECT_EQ(refusal("ggml.padding_token_id", std::uint32_t{0xFFFFFFFF}), "(accepted)");
  EXPECT_EQ(refusal("ggml.padding_token_id", std::int32_t{-1}), "(accepted)");
  EXPECT_THAT(refusal("ggml.padding_token_id", std::string("x")), HasSubstr("padding_token_id"));
  EXPECT_THAT(refusal("ggml.add_bos_token", std::uint32_t{1}), HasSubstr("add_bos_token"));
  EXPECT_THAT(refusal("chat_template", std::uint32_t{1}), HasSubstr("chat_template"));
}

}  // namespace
}  // namespace precept
