// Adapters in PEFT's format: what is written, what is read back, and what is refused.
#include "precept/checkpoint/llama_tensors.h"
#include "precept/checkpoint/peft.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "precept/core/io.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

LlamaConfig small_base() {
  LlamaConfig c;
  c.vocab_size = 11;
  c.hidden_size = 12;
  c.intermediate_size = 20;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 3;
  c.num_key_value_heads = 1;
  c.head_dim = 6;  // queries are 18 wide, keys 6
  c.max_position_embeddings = 32;
  return c;
}

LoraConfig small_config(std::vector<std::string> targets = {"q_proj", "down_proj"}) {
  LoraConfig config;
  config.r = 3;
  config.lora_alpha = 6;
  config.target_modules = std::move(targets);
  config.base_model_name_or_path = "../base";
  return config;
}

// Numbers of every size that fp32 has, or that bf16 has.
PeftAdapter random_adapter(const LoraConfig& config, Dtype dtype) {
  PeftAdapter adapter;
  adapter.config = config;
  adapter.dtype = dtype;
  Rng rng({3, 0, 0, 0});
  const auto fill = [&](std::size_t size) {
    std::vector<float> values(size);
    for (float& v : values) v = static_cast<float>(std::ldexp(rng.normal(), static_cast<int>(rng.below(60)) - 40));
    if (dtype == Dtype::kBF16) {
      const std::string bytes = to_bf16_bytes(values);
      values = *to_floats({"", Dtype::kBF16, {static_cast<std::int64_t>(size)}, bytes});
    }
    return values;
  };
  const auto targets = lora_targets(config, small_base());
  EXPECT_TRUE(targets) << targets.error().what;
  for (const LoraTarget& t : *targets) {
    auto a = fill(static_cast<std::size_t>(t.rank) * static_cast<std::size_t>(t.in));
    adapter.pairs.push_back({t.name, std::move(a), fill(static_cast<std::size_t>(t.out) * static_cast<std::size_t>(t.rank))});
  }
  return adapter;
}

class Peft : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "precept_peft_" + std::to_string(::getpid());
    std::filesystem::remove_all(root_);
    folder_ = root_ + "/adapter";
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string refusal() const {
    const auto loaded = load_peft(folder_, small_base());
    if (loaded) return "(accepted)";
    EXPECT_EQ(loaded.error().kind, ErrorKind::kBadInput);
    EXPECT_FALSE(loaded.error().hint.empty()) << loaded.error().what;
    EXPECT_EQ(loaded.error().message().find('\n'), std::string::npos);
    return loaded.error().message();
  }
  // The config of a saved adapter, changed.
  std::string refusal_of(const std::function<void(Json&)>& change) {
    EXPECT_TRUE(save_peft(folder_, random_adapter(small_config(), Dtype::kF32), small_base()));
    Json json = Json::parse(*read_file(folder_ + "/adapter_config.json"));
    change(json);
    EXPECT_TRUE(write_file(folder_ + "/adapter_config.json", json.dump()));
    return refusal();
  }
  // The tensors of a saved adapter, changed.
  std::string refusal_of_tensors(const std::function<void(std::vector<TensorView>&)>& change) {
    EXPECT_TRUE(save_peft(folder_, random_adapter(small_config(), Dtype::kF32), small_base()));
    const std::string path = folder_ + "/adapter_model.safetensors";
    const auto file = Safetensors::open(path);
    std::vector<TensorView> tensors = file->tensors();
    change(tensors);
    EXPECT_TRUE(write_safetensors(root_ + "/other", tensors));
    std::filesystem::rename(root_ + "/other", path);
    return refusal();
  }

  std::string root_, folder_;
};

TEST_F(Peft, WhatIsSavedIsLoadedToTheBit) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
    LoraConfig config = small_config();
    config.use_rslora = true;
    config.lora_dropout = 0.05;
    config.rank_pattern = {{"down_proj", 5}};
    config.alpha_pattern = {{"layers.1.self_attn.q_proj", 2.5}};
    const PeftAdapter adapter = random_adapter(config, dtype);
    ASSERT_TRUE(save_peft(folder_, adapter, small_base()));
    const auto loaded = load_peft(folder_, small_base());
    ASSERT_TRUE(loaded) << loaded.error().message();
    EXPECT_EQ(loaded->config, config);
    EXPECT_EQ(loaded->dtype, dtype);
    EXPECT_EQ(loaded->pairs, adapter.pairs);
    const std::string bytes = *read_file(folder_ + "/adapter_model.safetensors"), text = *read_file(folder_ + "/adapter_config.json");
    ASSERT_TRUE(save_peft(folder_, *loaded, small_base()));
    EXPECT_EQ(*read_file(folder_ + "/adapter_model.safetensors"), bytes);
    EXPECT_EQ(*read_file(folder_ + "/adapter_config.json"), text);
  }
}

TEST_F(Peft, TheFileHasExactlyPeftsNamesAndShapes) {
  ASSERT_TRUE(save_peft(folder_, random_adapter(small_config({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}), Dtype::kF32), small_base()));
  const auto file = Safetensors::open(folder_ + "/adapter_model.safetensors");
  ASSERT_TRUE(file);
  std::map<std::string, std::vector<std::int64_t>> got, expected;
  for (const TensorView& view : file->tensors()) got[view.name] = view.shape;
  for (const std::string layer : {"0", "1"}) {
    const std::string name = "base_model.model.model.layers." + layer + ".";
    for (const auto& [module, out, in] : {std::tuple{"self_attn.q_proj", 18, 12}, std::tuple{"self_attn.k_proj", 6, 12},
                                          std::tuple{"self_attn.v_proj", 6, 12}, std::tuple{"self_attn.o_proj", 12, 18},
                                          std::tuple{"mlp.gate_proj", 20, 12}, std::tuple{"mlp.up_proj", 20, 12},
                                          std::tuple{"mlp.down_proj", 12, 20}}) {
      expected[name + module + ".lora_A.weight"] = {3, in};
      expected[name + module + ".lora_B.weight"] = {out, 3};
    }
  }
  EXPECT_EQ(got, expected);
  const Json json = Json::parse(*read_file(folder_ + "/adapter_config.json"));
  EXPECT_EQ(json["peft_type"], "LORA");
  EXPECT_EQ(json["task_type"], "CAUSAL_LM");
  EXPECT_EQ(json["r"], 3);
  EXPECT_EQ(json["lora_alpha"], 6);
  EXPECT_EQ(json["bias"], "none");
  EXPECT_EQ(json["fan_in_fan_out"], false);
  EXPECT_EQ(json["target_modules"].size(), 7U);
}

// As PEFT 0.14 wrote it for a model of this shape, keys of newer versions added.
TEST_F(Peft, AConfigOfPeftIsRead) {
  const auto config = parse_lora_config(R"({"alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "org/model",
    "bias": "none", "corda_config": null, "eva_config": null, "exclude_modules": null, "fan_in_fan_out": false,
    "inference_mode": true, "init_lora_weights": true, "layer_replication": null, "layers_pattern": null,
    "layers_to_transform": null, "loftq_config": {}, "lora_alpha": 32, "lora_bias": false, "lora_dropout": 0.05,
    "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null, "peft_type": "LORA", "r": 16,
    "qalora_group_size": 16, "rank_pattern": {}, "revision": null, "target_modules": ["v_proj", "q_proj"], "target_parameters": null,
    "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_dora": false, "use_qalora": false, "use_rslora": false})", "f");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->r, 16);
  EXPECT_EQ(config->lora_alpha, 32);
  EXPECT_EQ(config->lora_dropout, 0.05);
  EXPECT_EQ(config->base_model_name_or_path, "org/model");
  EXPECT_EQ(config->target_modules, (std::vector<std::string>{"v_proj", "q_proj"}));
}

std::vector<std::string> chosen_by(const LoraConfig& config) {
  std::vector<std::string> names;
  const auto targets = lora_targets(config, small_base());
  if (!targets) return {targets.error().what};
  for (const LoraTarget& t : *targets) names.push_back(t.name);
  return names;
}
std::vector<std::string> chosen_by(const std::string& pattern) {
  LoraConfig config = small_config({});
  config.target_pattern = pattern;
  return chosen_by(config);
}

TEST(PeftTargets, NamesAreEndsAfterADotAndPatternsAreWhole) {
  EXPECT_EQ(chosen_by(small_config({"k_proj"})),
            (std::vector<std::string>{"model.layers.0.self_attn.k_proj", "model.layers.1.self_attn.k_proj"}));
  EXPECT_EQ(chosen_by(small_config({"1.mlp.up_proj"})), (std::vector<std::string>{"model.layers.1.mlp.up_proj"}));
  EXPECT_EQ(chosen_by("all-linear").size(), 14U);
  EXPECT_EQ(chosen_by(R"(model\.layers\.\d+\.self_attn\.(q|v)_proj)").size(), 4U);
  EXPECT_EQ(chosen_by(R"(.*\.(?:self_attn|mlp)\..*_proj$)").size(), 14U);
  EXPECT_EQ(chosen_by(R"(.*0.*[kv]_proj)").size(), 2U);
  EXPECT_EQ(chosen_by(R"(.+[^01]\.1\.mlp\.\w+?)").size(), 3U);
  EXPECT_EQ(chosen_by(R"((?:.*?(?:vision|text).*?proj)|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:q_proj|up_proj)))").size(), 4U);
  EXPECT_EQ(chosen_by(R"(.*\bup_proj\b)").size(), 2U);
  EXPECT_EQ(chosen_by(R"(.*\.[a-z]*\bproj)"), (std::vector<std::string>{R"("target_modules": ".*\.[a-z]*\bproj" means no module of the base)"}));
  EXPECT_EQ(chosen_by("(.*)*(.*)*(.*)*_proj").size(), 14U) << "no pattern runs away";
  EXPECT_THAT(chosen_by("q_proj"), testing::ElementsAre(HasSubstr("means no module")));
  EXPECT_THAT(chosen_by(".*"), testing::ElementsAre(HasSubstr("means lm_head too")));
  EXPECT_THAT(chosen_by(small_config({"q_proj", "lm_head"})), testing::ElementsAre(HasSubstr("is called \"lm_head\"")));
  EXPECT_THAT(chosen_by(small_config({"_proj"})), testing::ElementsAre(HasSubstr("is called \"_proj\"")));
}

TEST(PeftTargets, PatternsThatAreNotSupportedAreRefused) {
  for (const char* pattern : {"a{2}", "(?=a)", "(a", "a)", "[a", "a\\", "\\Bq", "a{2,}", "a{1,}{1,}", "*a", "a**", "a^b", "\xc3\xa4", "[\\d-a]x{"}) {
    const auto read = parse_lora_config(Json{{"peft_type", "LORA"}, {"r", 1}, {"lora_alpha", 1}, {"target_modules", pattern}}.dump(), "f");
    ASSERT_FALSE(read) << pattern;
    EXPECT_THAT(read.error().what, HasSubstr("not supported")) << pattern;
  }
}

TEST(PeftTargets, ScalesAreAlphaByRankOrByItsRoot) {
  LoraConfig config = small_config();
  config.rank_pattern = {{"down_proj", 4}};
  config.alpha_pattern = {{R"(layers\.1\..*)", 8}};
  auto targets = *lora_targets(config, small_base());
  EXPECT_DOUBLE_EQ(targets[0].scale, 6.0 / 3);   // layer 0, q_proj
  EXPECT_DOUBLE_EQ(targets[1].scale, 6.0 / 4);   // layer 0, down_proj
  EXPECT_DOUBLE_EQ(targets[2].scale, 8.0 / 3);   // layer 1
  EXPECT_DOUBLE_EQ(targets[3].scale, 8.0 / 4);
  EXPECT_EQ(targets[3].rank, 4);
  config.use_rslora = true;
  targets = *lora_targets(config, small_base());
  EXPECT_DOUBLE_EQ(targets[0].scale, 6.0 / std::sqrt(3.0));
  EXPECT_DOUBLE_EQ(targets[3].scale, 8.0 / 2);
  config.rank_pattern = {{"down_proj", 4}, {"layers.0.*", 2}};
  EXPECT_THAT(chosen_by(config), testing::ElementsAre(HasSubstr("model.layers.0.mlp.down_proj two values")));
  config.rank_pattern = {{"nothing", 4}};
  EXPECT_THAT(chosen_by(config), testing::ElementsAre(HasSubstr("no module matches \"nothing\"")));
}

TEST_F(Peft, WhatChangesTheComputationIsRefusedByName) {
  EXPECT_EQ(refusal_of([](Json&) {}), "(accepted)");
  for (const auto& [key, value] : std::vector<std::pair<std::string, Json>>{
           {"use_dora", true}, {"modules_to_save", {"lm_head"}}, {"bias", "all"}, {"fan_in_fan_out", true}, {"peft_type", "IA3"},
           {"task_type", "SEQ_CLS"}, {"layers_to_transform", {0}}, {"layers_pattern", "blocks"}, {"lora_bias", true},
           {"layer_replication", {{0, 1}}}, {"trainable_token_indices", {1}}, {"init_lora_weights", "pissa"},
           {"exclude_modules", {"q_proj"}}, {"use_qalora", true}, {"something_new", 1}, {"r", 0}, {"r", 2.5}, {"r", "3"},
           {"lora_alpha", "x"}, {"lora_dropout", 2}, {"use_rslora", 1}, {"target_modules", 3}, {"target_modules", Json::array()},
           {"target_modules", {1}}, {"rank_pattern", {{"q_proj", 0}}}, {"alpha_pattern", {{"q_proj", "x"}}}, {"base_model_name_or_path", 1}}) {
    EXPECT_THAT(refusal_of([&, k = key, v = value](Json& json) { json[k] = v; }), HasSubstr("\"" + key + "\"")) << value;
  }
  EXPECT_EQ(refusal_of([](Json& json) { json["something_new"] = nullptr; json["revision"] = "main"; }), "(accepted)");
  // A key is foreign text: on one line, and not for ever.
  const std::string odd = refusal_of([](Json& json) { json["base\nname" + std::string(500, 'x')] = 1; });
  EXPECT_THAT(odd, HasSubstr("\"base namexxx"));
  EXPECT_LT(odd.size(), 300U);
  ASSERT_TRUE(write_file(folder_ + "/adapter_config.json", "{\"r\": 1, \"r\": 2}"));
  EXPECT_NE(refusal(), "(accepted)");
}

TEST_F(Peft, WrongMissingSurplusAndMisshapenTensorsAreNamed) {
  EXPECT_EQ(refusal_of_tensors([](auto&) {}), "(accepted)");
  const std::string name = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight";
  const auto change = [&](auto how) {
    return refusal_of_tensors([&](std::vector<TensorView>& tensors) {
      for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (tensors[i].name == name) return how(tensors, i);
      }
      FAIL();
    });
  };
  EXPECT_THAT(change([](auto& t, std::size_t i) { t.erase(t.begin() + static_cast<std::ptrdiff_t>(i)); }), HasSubstr("lacks the tensor " + name));
  EXPECT_THAT(change([](auto& t, std::size_t i) { t[i].shape = {3, 18}; }), HasSubstr(name + " is [3, 18], but should be [18, 3]"));
  EXPECT_THAT(change([](auto& t, std::size_t i) { t[i].dtype = Dtype::kI32; }), HasSubstr(name + " is I32"));
  EXPECT_THAT(change([](auto& t, std::size_t i) { t[i].name = "base_model.model.lm_head.lora_B.weight"; }), HasSubstr("lacks the tensor " + name));
  const std::string more(4, '\0'), infinite("\0\0\x80\x7f", 4);
  EXPECT_THAT(change([&](auto& t, std::size_t) { t.push_back({"base_model.model.lm_head.lora_A.weight", Dtype::kF32, {1}, more}); }),
              HasSubstr("base_model.model.lm_head.lora_A.weight"));
  std::string bytes;
  EXPECT_THAT(change([&](auto& t, std::size_t i) {
    bytes = std::string(t[i].bytes);
    bytes.replace(8, 4, infinite);
    t[i].bytes = bytes;
  }), HasSubstr(name + " holds values that are not finite"));
  EXPECT_THAT(refusal_of([](Json& json) { json["r"] = 4; }), HasSubstr("is [3, 12], but should be [4, 12]"));
  EXPECT_THAT(refusal_of([](Json& json) { json["target_modules"] = {"q_proj"}; }), HasSubstr("down_proj.lora_A.weight"));
  std::filesystem::rename(folder_ + "/adapter_model.safetensors", folder_ + "/adapter_model.bin");
  EXPECT_THAT(refusal(), HasSubstr("adapter_model.bin"));
}

TEST_F(Peft, TheBaseIsFoundFromTheAdaptersFolder) {
  LoraConfig config = small_config();
  EXPECT_THAT(peft_base_folder(folder_, config).error().what, HasSubstr("\"../base\" is no folder here"));
  std::filesystem::create_directories(root_ + "/base");
  EXPECT_EQ(*peft_base_folder(folder_, config), root_ + "/base");
  config.base_model_name_or_path = root_ + "/base";
  EXPECT_EQ(*peft_base_folder(folder_, config), root_ + "/base");
  config.base_model_name_or_path = "";
  EXPECT_FALSE(peft_base_folder(folder_, config));
  ASSERT_TRUE(write_file(root_ + "/base/adapter_config.json", "{}"));
  config.base_model_name_or_path = "../base";
  EXPECT_THAT(peft_base_folder(folder_, config).error().what, HasSubstr("is an adapter itself"));
}

TEST_F(Peft, TheDigestIsOfWhatIsComputedNotOfWhereTheBaseLies) {
  PeftAdapter adapter = random_adapter(small_config(), Dtype::kF32);
  const auto digest = [&] {
    EXPECT_TRUE(save_peft(folder_, adapter, small_base()));
    return *peft_digest(folder_);
  };
  const std::string first = digest();
  adapter.config.base_model_name_or_path = "/elsewhere";
  EXPECT_EQ(digest(), first);
  std::set<std::string> others = {first};
  adapter.config.lora_alpha = 7;
  others.insert(digest());
  adapter.config.use_rslora = true;
  others.insert(digest());
  adapter.pairs[0].a[0] += 1;
  others.insert(digest());
  EXPECT_EQ(others.size(), 4U);
  EXPECT_NE(adapted_digest("a", "b"), adapted_digest("b", "a"));
}

// W + s B A by hand: rank 1 of 2 x 3.
TEST(PeftMerge, AddsTheScaledProduct) {
  LoraTarget target{{"m", 2, 3}, 1, 0.5};
  const LoraPair pair{"m", {1, 2, 3}, {10, -4}};
  std::vector<float> w = {1, 1, 1, 0, 0, 0};
  add_lora(target, pair, 0, w);
  EXPECT_EQ(w, (std::vector<float>{6, 11, 16, -2, -4, -6}));
  std::vector<float> second = {0, 0, 0};  // rows from the second on
  add_lora(target, pair, 1, second);
  EXPECT_EQ(second, (std::vector<float>{-2, -4, -6}));
}

TEST_F(Peft, MergingChangesAdaptedMatricesAlone) {
  const LlamaConfig base = small_base();
  const std::string from = root_ + "/base", out = root_ + "/merged";
  std::filesystem::create_directories(from);
  ASSERT_TRUE(write_file(from + "/config.json", llama_config_json(base)));
  ASSERT_TRUE(write_file(from + "/tokenizer.json", "{}"));
  std::vector<TensorView> views;
  std::vector<std::string> bytes;
  bytes.reserve(llama_tensors(base).size());
  Rng rng({4, 0, 0, 0});
  for (const TensorShape& tensor : llama_tensors(base)) {
    std::vector<float> values(static_cast<std::size_t>(tensor.shape[0] * (tensor.shape.size() > 1 ? tensor.shape[1] : 1)));
    for (float& v : values) v = static_cast<float>(rng.normal());
    bytes.push_back(to_bf16_bytes(values));
    views.push_back({tensor.name, Dtype::kBF16, tensor.shape, bytes.back()});
  }
  ASSERT_TRUE(write_safetensors(from + "/model.safetensors", views));
  PeftAdapter adapter = random_adapter(small_config(), Dtype::kF32);
  for (LoraPair& pair : adapter.pairs) {  // numbers of ordinary size
    for (float& v : pair.a) v = static_cast<float>(rng.normal());
    for (float& v : pair.b) v = static_cast<float>(rng.normal());
  }
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16}) {
    const bool kept = dtype == Dtype::kBF16;  // the base's own type
    ASSERT_TRUE(merge_adapter(from, adapter, out, kept ? SaveOptions() : SaveOptions{dtype}));
    EXPECT_EQ(*read_file(out + "/config.json") == *read_file(from + "/config.json"), kept);
    EXPECT_NE(read_file(out + "/config.json")->find(kept ? "bfloat16" : "float32"), std::string::npos);
    EXPECT_EQ(*read_file(out + "/tokenizer.json"), "{}");
    const auto merged = Safetensors::open(out + "/model.safetensors");
    ASSERT_TRUE(merged);
    ASSERT_EQ(merged->tensors().size(), views.size());
    int changed = 0;
    for (const TensorView& view : views) {
      const TensorView* now = merged->find(view.name);
      ASSERT_NE(now, nullptr) << view.name;
      const bool adapted = view.name.find("q_proj") != std::string::npos || view.name.find("down_proj") != std::string::npos;
      if (!adapted) {
        EXPECT_EQ(now->dtype, dtype);
        EXPECT_EQ(*to_floats(*now), *to_floats(view)) << view.name;
        continue;
      }
      ++changed;
      EXPECT_EQ(now->dtype, dtype);
      const auto targets = *lora_targets(adapter.config, base);
      for (std::size_t i = 0; i < targets.size(); ++i) {
        if (targets[i].name + ".weight" != view.name) continue;
        const auto was = *to_floats(view), is = *to_floats(*now);
        for (int r = 0; r < targets[i].out; ++r) {
          for (int c = 0; c < targets[i].in; ++c) {
            double expected = was[static_cast<std::size_t>(r * targets[i].in + c)];
            for (int k = 0; k < 3; ++k) {
              expected += 2.0 * adapter.pairs[i].b[static_cast<std::size_t>(r * 3 + k)] * adapter.pairs[i].a[static_cast<std::size_t>(k * targets[i].in + c)];
            }
            const double ulp = dtype == Dtype::kF32 ? 1e-7 : 4e-3;
            EXPECT_NEAR(is[static_cast<std::size_t>(r * targets[i].in + c)], expected, ulp * (1e-3 + std::abs(expected)));
          }
        }
      }
    }
    EXPECT_EQ(changed, 4);
  }
  EXPECT_FALSE(merge_adapter(from, adapter, from));
}

}  // namespace
}  // namespace precept
