#include "precept/checkpoint/save.h"

#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "precept/checkpoint/llama_tensors.h"
#include "precept/core/io.h"
#include "tests/support/random_checkpoint.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

LlamaConfig odd_config() {
  LlamaConfig c;
  c.vocab_size = 37;
  c.hidden_size = 22;
  c.intermediate_size = 31;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 3;
  c.num_key_value_heads = 1;
  c.head_dim = 6;
  c.max_position_embeddings = 64;
  c.bos_token_id = 1;
  c.eos_token_id = 2;
  c.more_eos_token_ids = {5};
  return c;
}

class Save : public testing::Test {
 protected:
  Save() : root_(testing::TempDir() + "precept_save_" + std::to_string(::getpid())) { fs::create_directories(root_ + "/from"); }
  ~Save() override { fs::remove_all(root_); }

  std::string at(const std::string& name) const { return root_ + "/" + name; }
  // A checkpoint of odd sizes in `from`.
  void make(bool bf16 = true) {
    tensors_ = random_tensors(odd_config(), 3);
    write_tensors(at("from"), tensors_, bf16);
    ASSERT_TRUE(write_file(at("from/config.json"), llama_config_json(odd_config(), bf16 ? "bfloat16" : "float32")));
    ASSERT_TRUE(write_file(at("from/tokenizer_config.json"), R"({"bos_token": "<s>", "pad_token": null, "eos_token": {"content": "</s>"}})"));
    for (const char* name : {"vocab.json", "merges.txt", "added_tokens.json", "chat_template.jinja"}) ASSERT_TRUE(write_file(at("from/") + name, name));
  }
  std::set<std::string> files(const std::string& folder) const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(at(folder))) names.insert(entry.path().filename().string());
    return names;
  }
  std::string refusal() const {
    const Status done = copy_checkpoint(at("from"), at("to"), {});
    return done ? "(accepted)" : done.error().what;
  }

  std::string root_;
  Tensors tensors_;
};

TEST_F(Save, ShardsHoldWhatOneFileHolds) {
  make();
  EXPECT_FALSE(has_weights(at("to")));
  ASSERT_TRUE(copy_checkpoint(at("from"), at("to"), {std::nullopt, 4000}));
  EXPECT_TRUE(has_weights(at("to")));
  EXPECT_FALSE(std::filesystem::exists(at("to/model.safetensors")));
  const json index = json::parse(*read_file(at("to/model.safetensors.index.json")));
  std::int64_t total = 0;
  std::set<std::string> shards;
  for (const auto& [name, values] : tensors_.values) {
    total += static_cast<std::int64_t>(values.size()) * 2;
    shards.insert(index["weight_map"].at(name).get<std::string>());
  }
  EXPECT_EQ(index["metadata"]["total_size"], total);
  EXPECT_EQ(index["weight_map"].size(), tensors_.values.size());
  ASSERT_GE(shards.size(), 3U);
  std::size_t number = 0;
  for (const std::string& shard : shards) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", ++number, shards.size());
    EXPECT_EQ(shard, name);
    std::int64_t bytes = 0;
    const auto file = Safetensors::open(at("to/" + shard));
    ASSERT_TRUE(file) << file.error().message();
    EXPECT_EQ(file->metadata().at("format"), "pt");
    for (const TensorView& tensor : file->tensors()) bytes += static_cast<std::int64_t>(tensor.bytes.size());
    EXPECT_TRUE(bytes <= 4000 || file->tensors().size() == 1) << shard << " " << bytes;
  }
  // The embeddings come first, as they do in the model.
  EXPECT_EQ(index["weight_map"]["model.embed_tokens.weight"], *shards.begin());
  EXPECT_EQ(*checkpoint_digest(at("to")), *checkpoint_digest(at("from")));
  EXPECT_EQ(*read_file(at("to/config.json")), *read_file(at("from/config.json")));

  // Weights under other names do not stay behind, in either direction.
  ASSERT_TRUE(copy_checkpoint(at("from"), at("to"), {std::nullopt, 9000}));
  EXPECT_LT(files("to").size(), shards.size() + 9);
  EXPECT_EQ(*checkpoint_digest(at("to")), *checkpoint_digest(at("from")));
  ASSERT_TRUE(copy_checkpoint(at("from"), at("to"), {}));
  EXPECT_EQ(files("to"), (std::set<std::string>{"config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt",
                                                "added_tokens.json", "chat_template.jinja", "model.safetensors"}));
  const auto opened = open_checkpoint_tensors(at("from"));
  ASSERT_TRUE(opened);
  ASSERT_TRUE(write_safetensors(at("again"), opened->tensors, {{"format", "pt"}}));
  EXPECT_TRUE(*read_file(at("to/model.safetensors")) == *read_file(at("again"))) << "both ways of writing give the same bytes";
}

TEST_F(Save, TheFolderIsCompleted) {
  make();
  ASSERT_TRUE(copy_checkpoint(at("from"), at("to"), {}));
  EXPECT_EQ(json::parse(*read_file(at("to/generation_config.json"))), (json{{"_from_model_config", true}, {"bos_token_id", 1}, {"eos_token_id", {2, 5}}}));
  EXPECT_EQ(json::parse(*read_file(at("to/special_tokens_map.json"))), (json{{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}}));
  ASSERT_TRUE(write_file(at("from/generation_config.json"), "{\"eos_token_id\": 7}"));  // what is there stays
  ASSERT_TRUE(copy_checkpoint(at("from"), at("to"), {}));
  EXPECT_EQ(*read_file(at("to/generation_config.json")), "{\"eos_token_id\": 7}");
}

TEST_F(Save, NumbersOfAnotherTypeAreRounded) {
  make(false);
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16, Dtype::kF32}) {
    ASSERT_TRUE(copy_checkpoint(at("from"), at("to"), {dtype}));
    EXPECT_EQ(json::parse(*read_file(at("to/config.json")))["torch_dtype"], torch_name(dtype));
    const auto now = open_checkpoint_tensors(at("to"));
    ASSERT_TRUE(now);
    const double unit = dtype == Dtype::kF32 ? 0 : dtype == Dtype::kF16 ? 1.0 / 2048 : 1.0 / 256;
    for (const auto& [name, values] : tensors_.values) {
      ASSERT_EQ(now->find(name)->dtype, dtype);
      const std::vector<float> read = *to_floats(*now->find(name));
      for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(read[i], values[i], unit * std::abs(values[i]) + (dtype == Dtype::kF16 ? 1e-7 : 0)) << name;
    }
  }
  tensors_.values["model.norm.weight"][3] = 1e6F;
  write_tensors(at("from"), tensors_, false);
  const Status done = copy_checkpoint(at("from"), at("to"), {Dtype::kF16});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().what, HasSubstr("model.norm.weight"));
}

TEST_F(Save, TensorsThatDoNotFitAreNamed) {
  make();
  const auto edited = [&](auto change) {
    Tensors other = tensors_;
    change(other);
    write_tensors(at("from"), other);
    return refusal();
  };
  const std::string query = "model.layers.1.self_attn.q_proj.weight";
  EXPECT_THAT(edited([&](Tensors& t) { t.values.erase(query); }), HasSubstr("lacks the tensor " + query));
  EXPECT_THAT(edited([&](Tensors& t) { t.shapes[query] = {22, 18}; }), HasSubstr(query + " is [22, 18], but its config makes it [18, 22]"));
  EXPECT_THAT(edited([&](Tensors& t) {
                t.values["model.layers.0.self_attn.q_proj.bias"] = std::vector<float>(18);
                t.shapes["model.layers.0.self_attn.q_proj.bias"] = {18};
              }), HasSubstr("\"model.layers.0.self_attn.q_proj.bias\", which a model of this shape lacks"));
  EXPECT_THAT(edited([&](Tensors& t) { t.values[query][5] = std::nanf(""); }), HasSubstr(query + " holds values that are not finite"));
  EXPECT_EQ(edited([&](Tensors& t) {  // derived, and read by nobody
              t.values["model.layers.0.self_attn.rotary_emb.inv_freq"] = {1, 2, 3};
              t.shapes["model.layers.0.self_attn.rotary_emb.inv_freq"] = {3};
            }), "(accepted)");
  EXPECT_EQ(open_checkpoint_tensors(at("to"))->find("model.layers.0.self_attn.rotary_emb.inv_freq"), nullptr);
}

TEST_F(Save, TiedEmbeddingsMayStandTwice) {
  make();
  ASSERT_TRUE(write_file(at("from/config.json"), [] {
    LlamaConfig tied = odd_config();
    tied.tie_word_embeddings = true;
    return llama_config_json(tied);
  }()));
  EXPECT_THAT(refusal(), HasSubstr("\"lm_head.weight\", which a model of this shape lacks"));
  tensors_.values["lm_head.weight"] = tensors_.values["model.embed_tokens.weight"];
  write_tensors(at("from"), tensors_);
  EXPECT_EQ(refusal(), "(accepted)");
  EXPECT_EQ(open_checkpoint_tensors(at("to"))->find("lm_head.weight"), nullptr);
}

TEST_F(Save, NothingIsWrittenOverItsSource) {
  make();
  EXPECT_FALSE(copy_checkpoint(at("from"), at("from/../from"), {}));
}

TEST(ByteSize, IsReadWithItsUnit) {
  EXPECT_EQ(*parse_byte_size("5GB"), 5'000'000'000);
  EXPECT_EQ(*parse_byte_size("300MB"), 300'000'000);
  EXPECT_EQ(*parse_byte_size("1.5GiB"), 1'610'612'736);
  EXPECT_EQ(*parse_byte_size("4096"), 4096);
  for (const char* wrong : {"", "GB", "0", "-1GB", "5 GB", "5gb", "1e99GB", "nan", "5GBx"}) EXPECT_FALSE(parse_byte_size(wrong)) << wrong;
}

}  // namespace
}  // namespace precept
