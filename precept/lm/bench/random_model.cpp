#include <bit>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/lm/bench/bench.h"
#include "precept/lm/nn/llama.h"
#include "precept/text/chat_format.h"

namespace precept {
namespace {

LlamaConfig shape_of(int vocab, int hidden, int feed_forward, int layers, int heads, int kv_heads, int head_dim) {
  LlamaConfig c;
  c.vocab_size = vocab;
  c.hidden_size = hidden;
  c.intermediate_size = feed_forward;
  c.num_hidden_layers = layers;
  c.num_attention_heads = heads;
  c.num_key_value_heads = kv_heads;
  c.head_dim = head_dim;
  c.max_position_embeddings = 8192;
  c.tie_word_embeddings = true;
  c.bos_token_id = 1;
  c.eos_token_id = 2;
  return c;
}

// How byte-level BPE spells a byte (GPT-2): printable ones as themselves, the others from U+0100 on, in order.
std::string spelled(int byte) {
  const auto plain = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int code = byte;
  if (!plain(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += plain(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// Bytes, and as many tokens that no text becomes as the vocabulary has room for.
Result<Tokenizer> letters_tokenizer(int vocab) {
  VocabularySpec spec;
  spec.pre = "gpt-2";
  for (const std::string& special : pocket_special_tokens()) {
    spec.tokens.push_back(special);
    spec.token_types.push_back(3);
  }
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back(spelled(byte));
  spec.merges = {"0 1"};  // llama.cpp refuses a vocabulary without merges
  spec.tokens.push_back("01");
  for (int i = 0; static_cast<int>(spec.tokens.size()) < vocab; ++i) spec.tokens.push_back("tok" + std::to_string(i));
  spec.token_types.resize(spec.tokens.size(), 1);
  return Tokenizer::from_vocabulary(spec);
}

// Small weights around 0; norms are 1. bf16, two at a time from one draw: 1 GB takes some seconds.
std::string random_bytes(const nn::Param& param, std::uint64_t seed) {
  std::string bytes(param.size() * 2, '\0');
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + hash64(param.name);
  auto* to = reinterpret_cast<unsigned char*>(bytes.data());
  for (std::size_t i = 0; i < param.size(); ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const auto draw = static_cast<std::int32_t>(state >> 33) - (1 << 30);
    const float value = param.cols == 0 ? 1.0F : 0.07F * static_cast<float>(draw) / static_cast<float>(1 << 30);
    const auto half = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
    to[2 * i] = static_cast<unsigned char>(half & 0xFF);
    to[2 * i + 1] = static_cast<unsigned char>(half >> 8);
  }
  return bytes;
}

}  // namespace

Result<LlamaConfig> bench_shape(const std::string& name) {
  if (name == "pocket") return shape_of(2048, 192, 512, 6, 6, 6, 32);
  if (name == "135m") return shape_of(49152, 576, 1536, 30, 9, 3, 64);
  if (name == "360m") return shape_of(49152, 960, 2560, 32, 15, 5, 64);
  if (name == "1b") return shape_of(128256, 2048, 8192, 16, 32, 8, 64);
  if (name == "8b") {
    LlamaConfig c = shape_of(128256, 4096, 14336, 32, 32, 8, 128);
    c.rope_theta = 500000;
    c.tie_word_embeddings = false;
    return c;
  }
  return bad_input("there is no shape \"" + name + "\"", "the shapes are pocket, 135m, 360m, 1b and 8b; a folder with a checkpoint works too");
}

Status write_random_checkpoint(const LlamaConfig& shape, const std::string& folder) {
  if (Status made = make_folder(folder); !made) return made;
  const nn::Layout layout(shape);
  std::vector<std::string> bytes;
  bytes.reserve(layout.params.size());
  std::vector<TensorView> views;
  for (const nn::Param& param : layout.params) {
    bytes.push_back(random_bytes(param, 1));
    std::vector<std::int64_t> dims{param.rows};
    if (param.cols > 0) dims.push_back(param.cols);
    views.push_back({param.name, Dtype::kBF16, dims, bytes.back()});
  }
  if (Status written = write_safetensors(folder + "/model.safetensors", views); !written) return written;
  if (Status written = write_file(folder + "/config.json", llama_config_json(shape)); !written) return written;
  const Result<Tokenizer> tokenizer = letters_tokenizer(shape.vocab_size);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  return write_tokenizer_files(folder, *tokenizer, ChatFormat::pocket(*tokenizer));
}

}  // namespace precept
