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
#include "tests/support/random_checkpoint.h"

namespace precept::engine_test {

using precept::random_tensors;
using precept::Tensors;
using precept::write_tensors;

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
