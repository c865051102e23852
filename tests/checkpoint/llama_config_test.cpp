#include "precept/checkpoint/llama_config.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "precept/core/io.h"
#include "tests/support/variations.h"

namespace precept {
namespace {

using nlohmann::json;
using testing::HasSubstr;

LlamaConfig small() {
  LlamaConfig config;
  config.vocab_size = 4096;
  config.hidden_size = 256;
  config.intermediate_size = 704;
  config.num_hidden_layers = 6;
  config.num_attention_heads = 8;
  config.num_key_value_heads = 4;
  config.head_dim = 32;
  config.max_position_embeddings = 1024;
  config.tie_word_embeddings = true;
  config.bos_token_id = 1;
  return config;
}

Result<LlamaConfig> load(const std::string& text) {
  const std::string folder = testing::TempDir() + "precept_config_" + std::to_string(::getpid());
  std::filesystem::create_directories(folder);
  EXPECT_TRUE(write_file(folder + "/config.json", text).has_value());
  auto config = load_llama_config(folder);
  std::filesystem::remove_all(folder);
  return config;
}

// The message when `key` has this value; null removes the key.
std::string refusal(const char* key, const json& value) {
  json edited = json::parse(llama_config_json(small()));
  edited[key] = value;
  const auto config = load(edited.dump());
  if (config) return "(accepted)";
  EXPECT_FALSE(config.error().hint.empty());
  return config.error().what + " | " + config.error().hint;
}

TEST(LlamaConfigFile, ComesBackTheSame) {
  const auto config = load(llama_config_json(small()));
  ASSERT_TRUE(config.has_value()) << config.error().message();
  EXPECT_EQ(llama_config_json(*config), llama_config_json(small()));
  EXPECT_EQ(config->eos_token_id, -1);
  EXPECT_TRUE(config->tie_word_embeddings);
}

TEST(LlamaConfigFile, CountsParameters) {
  // embeddings + 6 x (q, o, k, v, three of the MLP, two norms) + the last norm
  EXPECT_EQ(small().parameters(), 4096 * 256 + 6 * (2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 704 + 2 * 256) + 256);
  LlamaConfig untied = small();
  untied.tie_word_embeddings = false;
  EXPECT_EQ(untied.parameters() - small().parameters(), 4096 * 256);
}

TEST(LlamaConfigFile, FillsInWhatMayBeAbsent) {
  const auto config = load(R"({"model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "torch_dtype": "float16", "use_cache": true, "pretraining_tp": 1,
    "eos_token_id": [3, 4]})");
  ASSERT_TRUE(config.has_value()) << config.error().message();
  EXPECT_EQ(config->num_key_value_heads, 2);
  EXPECT_EQ(config->head_dim, 4);
  EXPECT_EQ(config->rope_theta, 10000.0);
  EXPECT_EQ(config->eos_token_id, 3);
}

TEST(LlamaConfigFile, RefusesByName) {
  EXPECT_THAT(refusal("model_type", "gemma"), HasSubstr("gemma"));
  EXPECT_THAT(refusal("model_type", "gemma"), HasSubstr("qwen3 (Qwen3ForCausalLM)")) << "what is supported is listed";
  EXPECT_THAT(refusal("model_type", "mistral"), HasSubstr("architectures")) << "the two keys do not belong together";
  EXPECT_THAT(refusal("architectures", json::array({"GPT2LMHeadModel"})), HasSubstr("GPT2LMHeadModel"));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "linear"}}), HasSubstr("lacks \"factor\""));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "dynamic"}, {"factor", 2}}), HasSubstr("dynamic"));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "linear"}, {"factor", 2}, {"spin", 1}}), HasSubstr("spin"));
  EXPECT_THAT(refusal("rope_scaling", {{"rope_type", "llama3"}, {"factor", 8}}), HasSubstr("low_freq_factor"));
  EXPECT_THAT(refusal("attention_bias", 1), HasSubstr("attention_bias"));
  EXPECT_THAT(refusal("sliding_window", 128), HasSubstr("sliding_window"));
  EXPECT_THAT(refusal("use_sliding_window", true), HasSubstr("use_sliding_window"));
  EXPECT_THAT(refusal("mlp_bias", true), HasSubstr("mlp_bias"));
  EXPECT_THAT(refusal("hidden_act", "gelu"), HasSubstr("silu"));
  EXPECT_THAT(refusal("quantization_config", {{"bits", 4}}), HasSubstr("quantization_config"));
  EXPECT_THAT(refusal("rope_parameters", {{"rope_type", "longrope"}}), HasSubstr("rope_parameters"));
  EXPECT_THAT(refusal("logit_softcapping", 30), HasSubstr("logit_softcapping"));
  EXPECT_THAT(refusal("hidden_size", nullptr), HasSubstr("\"hidden_size\" is missing"));
  EXPECT_THAT(refusal("hidden_size", 0), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal("hidden_size", -1), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal("hidden_size", "256"), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal("vocab_size", 18446744073709551615U), HasSubstr("vocab_size"));
  EXPECT_THAT(refusal("num_key_value_heads", 3), HasSubstr("does not divide"));
  EXPECT_THAT(refusal("head_dim", 33), HasSubstr("head_dim"));
  EXPECT_THAT(refusal("bos_token_id", 4096), HasSubstr("bos_token_id"));
  EXPECT_THAT(refusal("rms_norm_eps", -1), HasSubstr("rms_norm_eps"));
  EXPECT_EQ(refusal("rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}}), "(accepted)");
  EXPECT_EQ(refusal("rope_scaling", nullptr), "(accepted)");
}

// Everything that a variation can say comes back from the file that it writes.
TEST(LlamaConfigFile, VariationsComeBackTheSame) {
  for (const Variation& variation : variations(small())) {
    LlamaConfig config = variation.config;
    config.eos_token_id = 3;
    config.more_eos_token_ids = {5, 7};
    const auto again = load(llama_config_json(config));
    ASSERT_TRUE(again.has_value()) << variation.name << ": " << again.error().message();
    EXPECT_EQ(llama_config_json(*again), llama_config_json(config)) << variation.name;
    EXPECT_EQ(again->parameters(), config.parameters());
    EXPECT_EQ(again->more_eos_token_ids, config.more_eos_token_ids);
    EXPECT_EQ(again->rope_scaling.factor, config.rope_scaling.factor);
    for (int layer = 0; layer < config.num_hidden_layers; ++layer) EXPECT_EQ(again->window(layer), config.window(layer));
  }
}

// As the models' own files spell them.
TEST(LlamaConfigFile, ReadsTheFilesOfTheFamily) {
  const std::string sizes = R"("vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096)";
  const auto read = [&](const std::string& rest) {
    auto config = load("{" + sizes + ", " + rest + "}");
    EXPECT_TRUE(config.has_value()) << rest << ": " << (config ? "" : config.error().message());
    return config.value_or(LlamaConfig{});
  };
  const LlamaConfig llama3 = read(R"("model_type": "llama", "eos_token_id": [9, 10], "rope_theta": 500000.0, "rope_scaling": {
    "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 1024, "rope_type": "llama3"})");
  EXPECT_EQ(llama3.rope_scaling.type, RopeScaling::Type::kLlama3);
  EXPECT_EQ(llama3.more_eos_token_ids, std::vector<int>{10});
  const LlamaConfig mistral = read(R"("model_type": "mistral", "architectures": ["MistralForCausalLM"])");
  EXPECT_EQ(mistral.sliding_window, 4096) << "the default of its class";
  EXPECT_EQ(read(R"("model_type": "mistral", "sliding_window": null)").sliding_window, 0);
  const LlamaConfig qwen2 = read(R"("model_type": "qwen2", "sliding_window": 2048, "max_window_layers": 4, "use_sliding_window": false)");
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.out_bias);
  EXPECT_EQ(qwen2.window(3), 0);
  const LlamaConfig some = read(R"("model_type": "qwen2", "sliding_window": 2048, "max_window_layers": 3, "use_sliding_window": true)");
  EXPECT_EQ(some.window(2), 0);
  EXPECT_EQ(some.window(3), 2048);
  const LlamaConfig qwen3 = read(R"("model_type": "qwen3", "head_dim": 32, "attention_bias": false, "use_sliding_window": false,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 1000000, "factor": 4.0, "original_max_position_embeddings": 1024})");
  EXPECT_TRUE(qwen3.qk_norm);
  EXPECT_EQ(qwen3.head_dim, 32);
  EXPECT_EQ(qwen3.rope_theta, 1e6);
  EXPECT_EQ(qwen3.rope_scaling.type, RopeScaling::Type::kYarn);
  EXPECT_NEAR(rope_attention_factor(qwen3), 1.138629, 1e-6);
}

TEST(LlamaConfigFile, BrokenFilesAreErrors) {
  for (const char* text : {"", "{", "[]", "3", "{\"vocab_size\": 1, \"vocab_size\": 2}", "\xff"}) {
    EXPECT_FALSE(load(text).has_value()) << text;
  }
  EXPECT_FALSE(load_llama_config("/nonexistent").has_value());
  const auto config = load("{\n\n]");
  ASSERT_FALSE(config.has_value());
  EXPECT_EQ(config.error().line, 3);
}

}  // namespace
}  // namespace precept
