#pragma once
// Small random checkpoints for the engine's tests.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/lm/api.h"
#include "precept/text/chat_format.h"

namespace precept::engine_test {

inline Tokenizer small_tokenizer() {
  std::map<std::string, std::int64_t> words;
  for (const char* word : {" the", " fox", " story", "tell", " me", " about", " kind", " animal", " is", " it", " yes"}) {
    words[word] = 10;
  }
  BpeOptions options;
  options.vocab_size = 300;
  options.special_tokens = pocket_special_tokens();
  return *train_bpe(words, options);
}

struct Tensors {
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, std::vector<std::int64_t>> shapes;
};

inline LlamaConfig shape_of(int hidden, int layers, int heads, int kv_heads, int head_dim, int ffn, bool tied,
                            int context = 512) {
  LlamaConfig config;
  config.vocab_size = small_tokenizer().size();
  config.hidden_size = hidden;
  config.intermediate_size = ffn;
  config.num_hidden_layers = layers;
  config.num_attention_heads = heads;
  config.num_key_value_heads = kv_heads;
  config.head_dim = head_dim;
  config.max_position_embeddings = context;
  config.tie_word_embeddings = tied;
  config.bos_token_id = 1;
  config.eos_token_id = 2;
  return config;
}
inline LlamaConfig pocket_shape() { return shape_of(192, 6, 6, 6, 32, 512, true); }
// Nothing is a multiple of a vector: grouped heads of width 10, odd feed-forward, untied head.
inline LlamaConfig odd_shape() { return shape_of(72, 3, 6, 2, 10, 101, false); }

// Weights wide enough that outputs differ much from token to token; norms near 1.
inline Tensors random_tensors(const LlamaConfig& c, std::uint64_t seed) {
  Tensors t;
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
    Rng rng({seed, hash64(name), 0, 0});
    std::size_t size = 1;
    for (const std::int64_t n : shape) size *= static_cast<std::size_t>(n);
    std::vector<float> values(size);
    const double spread = shape.size() == 1 ? 0.1 : 1.2 / std::sqrt(static_cast<double>(shape[1]));
    const bool norm = shape.size() == 1 && name.find("bias") == std::string::npos;
    for (float& v : values) v = static_cast<float>((norm ? 1.0 : 0.0) + spread * rng.normal());
    t.values[name] = std::move(values);
    t.shapes[name] = std::move(shape);
  };
  const int q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  add("model.embed_tokens.weight", {c.vocab_size, c.hidden_size});
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    add(layer + "input_layernorm.weight", {c.hidden_size});
    add(layer + "self_attn.q_proj.weight", {q, c.hidden_size});
    add(layer + "self_attn.k_proj.weight", {kv, c.hidden_size});
    add(layer + "self_attn.v_proj.weight", {kv, c.hidden_size});
    add(layer + "self_attn.o_proj.weight", {c.hidden_size, q});
    if (c.qkv_bias) {
      add(layer + "self_attn.q_proj.bias", {q});
      add(layer + "self_attn.k_proj.bias", {kv});
      add(layer + "self_attn.v_proj.bias", {kv});
    }
    if (c.out_bias) add(layer + "self_attn.o_proj.bias", {c.hidden_size});
    if (c.qk_norm) {
      add(layer + "self_attn.q_norm.weight", {c.head_dim});
      add(layer + "self_attn.k_norm.weight", {c.head_dim});
    }
    add(layer + "post_attention_layernorm.weight", {c.hidden_size});
    add(layer + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size});
    add(layer + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size});
    add(layer + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size});
  }
  add("model.norm.weight", {c.hidden_size});
  if (!c.tie_word_embeddings) add("lm_head.weight", {c.vocab_size, c.hidden_size});
  return t;
}

// Rounds the tensors to what is written.
inline void write_tensors(const std::string& folder, Tensors& t, bool bf16 = true) {
  std::vector<TensorView> views;
  std::map<std::string, std::string> bytes;
  for (auto& [name, values] : t.values) {
    std::string& b = bytes[name];
    b = bf16 ? to_bf16_bytes(values)
             : std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    views.push_back({name, bf16 ? Dtype::kBF16 : Dtype::kF32, t.shapes[name], b});
    if (bf16) values = *to_floats(views.back());
  }
  const Status written = write_safetensors(folder + "/model.safetensors", views);
  ASSERT_TRUE(written) << written.error().message();
}

class Folder {
 public:
  Folder() {
    path_ = (std::filesystem::temp_directory_path() /
             ("precept_engine_" + std::to_string(getpid()) + "_" + std::to_string(counter()++))).string();
    EXPECT_TRUE(make_folder(path_));
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  static int& counter() {
    static int value = 0;
    return value;
  }
  std::string path_;
};

// A checkpoint folder with everything a model needs; removed in the end.
struct Checkpoint {
  explicit Checkpoint(const LlamaConfig& c, std::uint64_t seed = 1, bool bf16 = true)
      : config(c), tensors(random_tensors(c, seed)) {
    write_tensors(folder.path(), tensors, bf16);
    EXPECT_TRUE(write_file(folder.path() + "/config.json", llama_config_json(config)));
    const Tokenizer tokenizer = small_tokenizer();
    EXPECT_TRUE(write_tokenizer_files(folder.path(), tokenizer, ChatFormat::pocket(tokenizer)));
  }
  std::unique_ptr<Model> open(EngineOptions options = {}) const {
    Result<std::unique_ptr<Model>> model = precept_lm_api()->open_checkpoint(folder.path(), options);
    EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message());
    return model ? std::move(*model) : nullptr;
  }

  Folder folder;
  LlamaConfig config;
  Tensors tensors;
};

}  // namespace precept::engine_test
