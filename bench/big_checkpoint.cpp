// A checkpoint folder with random bf16 weights, to measure opening, converting and saving with:
//   bench_checkpoint FOLDER [HIDDEN, default 2048] [LAYERS, default 24]
// The default has 1.46 billion parameters, 2.92 GB, and a vocabulary of 1,000 tokens.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "precept/checkpoint/llama_tensors.h"
#include "precept/checkpoint/save.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/text/chat_format.h"

namespace precept {
namespace {

void stop_on(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "bench_checkpoint: %s\n", status.error().message().c_str());
  std::exit(3);
}

void write(const std::string& folder, int hidden, int layers) {
  std::map<std::string, std::int64_t> words;
  Rng rng({1, 0, 0, 0});
  for (int i = 0; i < 5000; ++i) {
    std::string word = " ";
    for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) word += std::string(1, "bdfgklmnprst"[rng.below(12)]) + "aeiou"[rng.below(5)];
    ++words[word];
  }
  const Tokenizer tokenizer = *train_bpe(words, {1000, pocket_special_tokens()});
  LlamaConfig c;
  c.vocab_size = tokenizer.size();
  c.hidden_size = hidden;
  c.intermediate_size = hidden * 4;
  c.num_hidden_layers = layers;
  c.num_attention_heads = 16;
  c.num_key_value_heads = 4;
  c.head_dim = hidden / 16;
  c.max_position_embeddings = 2048;
  c.bos_token_id = 1;
  c.eos_token_id = 2;
  stop_on(write_tokenizer_files(folder, tokenizer, ChatFormat::pocket(tokenizer)));
  stop_on(write_file(folder + "/config.json", llama_config_json(c)));
  stop_on(complete_folder(folder, c));
  std::vector<TensorPlan> plans;
  for (const TensorShape& tensor : llama_tensors(c)) plans.push_back({tensor.name, Dtype::kBF16, tensor.shape});
  const auto rows = [&](std::size_t i, std::int64_t first, std::span<float> out) -> Status {
    const bool norm = plans[i].shape.size() == 1;
    const float spread = norm ? 0.0F : 1.0F / std::sqrt(static_cast<float>(plans[i].shape[1]));
    Rng values({2, i, static_cast<std::uint32_t>(first), 0});
    for (float& v : out) v = norm ? 1.0F : spread * static_cast<float>(3.46 * (values.uniform() - 0.5));
    return {};
  };
  stop_on(save_tensors(folder, plans, rows, std::int64_t{1} << 40));
  std::printf("%s: %lld parameters\n", folder.c_str(), static_cast<long long>(c.parameters()));
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    std::fprintf(stderr, "usage: bench_checkpoint FOLDER [HIDDEN] [LAYERS]\n");
    return 2;
  }
  precept::write(argv[1], argc > 2 ? std::atoi(argv[2]) : 2048, argc > 3 ? std::atoi(argv[3]) : 24);
  return 0;
}
