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

// Every key of the config.json of real checkpoints, with the values that they have there (weights and sizes aside).
TEST(LlamaConfigFile, ReadsTheConfigsOfRealFamilies) {
  const json common = {{"attention_dropout", 0.0}, {"hidden_act", "silu"},   {"initializer_range", 0.02}, {"transformers_version", "4.45.0"},
                       {"use_cache", true},        {"torch_dtype", "bfloat16"}, {"vocab_size", 512},       {"hidden_size", 256},
                       {"intermediate_size", 300}, {"num_hidden_layers", 4}, {"num_attention_heads", 8},  {"num_key_value_heads", 4}};
  const std::vector<std::pair<const char*, json>> families = {
      {"Llama 2", {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"_name_or_path", "meta-llama/Llama-2-7b-hf"}, {"bos_token_id", 1}, {"eos_token_id", 2},
                   {"max_position_embeddings", 4096}, {"pretraining_tp", 1}, {"rms_norm_eps", 1e-5}, {"rope_scaling", nullptr}, {"tie_word_embeddings", false},
                   {"pad_token_id", 0}, {"max_length", 4096}}},
      {"Llama 3.2", {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"attention_bias", false}, {"bos_token_id", 1}, {"eos_token_id", {2, 3, 4}}, {"head_dim", 32},
                     {"max_position_embeddings", 131072}, {"mlp_bias", false}, {"pretraining_tp", 1}, {"rms_norm_eps", 1e-5}, {"rope_theta", 500000.0}, {"tie_word_embeddings", true},
                     {"rope_scaling", {{"factor", 32.0}, {"high_freq_factor", 4.0}, {"low_freq_factor", 1.0}, {"original_max_position_embeddings", 8192}, {"rope_type", "llama3"}}}}},
      {"SmolLM2", {{"architectures", {"LlamaForCausalLM"}}, {"model_type", "llama"}, {"attention_bias", false}, {"bos_token_id", 1}, {"eos_token_id", 2}, {"is_llama_config", true},
                   {"max_position_embeddings", 8192}, {"mlp_bias", false}, {"pad_token_id", 2}, {"pretraining_tp", 1}, {"rms_norm_eps", 1e-5}, {"rope_interleaved", false},
                   {"rope_scaling", nullptr}, {"rope_theta", 100000}, {"tie_word_embeddings", true}, {"transformers.js_config", {{"kv_cache_dtype", {{"fp16", "float16"}}}}}}},
      {"Mistral v0.1", {{"architectures", {"MistralForCausalLM"}}, {"model_type", "mistral"}, {"bos_token_id", 1}, {"eos_token_id", 2}, {"max_position_embeddings", 32768},
                        {"rms_norm_eps", 1e-5}, {"rope_theta", 10000.0}, {"sliding_window", 4096}, {"tie_word_embeddings", false}}},
      {"Mistral Nemo", {{"architectures", {"MistralForCausalLM"}}, {"model_type", "mistral"}, {"bos_token_id", 1}, {"eos_token_id", 2}, {"head_dim", 48}, {"max_position_embeddings", 131072},
                        {"rms_norm_eps", 1e-5}, {"rope_theta", 1000000.0}, {"sliding_window", nullptr}, {"tie_word_embeddings", false}}},
      {"Qwen2.5", {{"architectures", {"Qwen2ForCausalLM"}}, {"model_type", "qwen2"}, {"bos_token_id", 1}, {"eos_token_id", 2}, {"max_position_embeddings", 32768}, {"max_window_layers", 24},
                   {"rms_norm_eps", 1e-6}, {"rope_theta", 1000000.0}, {"sliding_window", 32768}, {"tie_word_embeddings", true}, {"use_mrope", false}, {"use_sliding_window", false}}},
      {"Qwen2.5, stretched", {{"architectures", {"Qwen2ForCausalLM"}}, {"model_type", "qwen2"}, {"max_position_embeddings", 32768}, {"rms_norm_eps", 1e-6}, {"tie_word_embeddings", false},
                              {"rope_scaling", {{"factor", 4.0}, {"original_max_position_embeddings", 32768}, {"type", "yarn"}}}}},
      {"Qwen3", {{"architectures", {"Qwen3ForCausalLM"}}, {"model_type", "qwen3"}, {"attention_bias", false}, {"bos_token_id", 1}, {"eos_token_id", 2}, {"head_dim", 64},
                 {"max_position_embeddings", 40960}, {"max_window_layers", 28}, {"rms_norm_eps", 1e-6}, {"rope_scaling", nullptr}, {"rope_theta", 1000000}, {"sliding_window", nullptr},
                 {"tie_word_embeddings", true}, {"use_sliding_window", false}}},
      {"transformers 5", {{"architectures", {"Qwen3ForCausalLM"}}, {"model_type", "qwen3"}, {"attention_bias", false}, {"dtype", "bfloat16"}, {"head_dim", 64}, {"max_position_embeddings", 40960},
                          {"layer_types", {"full_attention", "full_attention", "full_attention", "full_attention"}}, {"rms_norm_eps", 1e-6}, {"pad_token_id", nullptr},
                          {"rope_parameters", {{"rope_theta", 1000000}, {"rope_type", "default"}}}, {"sliding_window", nullptr}, {"use_sliding_window", false}}}};
  for (const auto& [name, own] : families) {
    json whole = common;
    whole.update(own);
    const auto config = load(whole.dump());
    ASSERT_TRUE(config.has_value()) << name << ": " << config.error().message();
    EXPECT_EQ(llama_config_json(*load(llama_config_json(*config))), llama_config_json(*config)) << name;
  }
}

// What the class of an architecture makes of an absent head_dim.
TEST(LlamaConfigFile, HeadsOfQwen3AreWideUnlessSaid) {
  json edited = json::parse(llama_config_json(small()));
  edited["architectures"] = {"Qwen3ForCausalLM"};
  edited["model_type"] = "qwen3";
  edited.erase("mlp_bias");
  edited.erase("head_dim");
  EXPECT_EQ(load(edited.dump())->head_dim, 128);
  edited["head_dim"] = 20;
  EXPECT_EQ(load(edited.dump())->head_dim, 20);
}

// Mistral's class in transformers does not look at them.
TEST(LlamaConfigFile, LayerTypesOfMistralMustSayWhatItDoes) {
  json mistral = json::parse(llama_config_json(small()));
  mistral["architectures"] = {"MistralForCausalLM"};
  mistral["model_type"] = "mistral";
  mistral.erase("mlp_bias");
  mistral["sliding_window"] = 20;
  const auto with = [&](std::size_t sliding) {
    mistral["layer_types"] = json::array();
    for (std::size_t i = 0; i < 6; ++i) mistral["layer_types"].push_back(i < sliding ? "sliding_attention" : "full_attention");
    const auto config = load(mistral.dump());
    return config ? std::to_string(config->window(0)) + " " + std::to_string(config->window(5)) : config.error().what;
  };
  EXPECT_EQ(with(6), "20 20");
  EXPECT_THAT(with(3), HasSubstr("contradicts sliding_window"));
  EXPECT_THAT(with(0), HasSubstr("contradicts sliding_window"));
  mistral["sliding_window"] = nullptr;
  EXPECT_EQ(with(0), "0 0");
}

TEST(LlamaConfigFile, RefusesByName) {
  EXPECT_THAT(refusal("use_mrope", true), HasSubstr("\"use_mrope\": \"true\" is not supported | supported: false"));
  EXPECT_THAT(refusal("rope_interleaved", true), HasSubstr("rope_interleaved"));
  EXPECT_THAT(refusal("dual_chunk_attention_config", {{"chunk_size", 8}}), HasSubstr("unknown key \"dual_chunk_attention_config\""));
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
