// GGUF files that `precept model convert` writes, as llama.cpp reads them (node-llama-cpp, tests/peers/llama_cpp; scripts/install-peers
// installs it): random weights of odd sizes for every architecture, 20 prompts, 100 greedy tokens each.
//
// llama.cpp is given our tokens and asked, at each of them, for its log-probability and for its own most probable token. Where
// that is ours everywhere, greedy decoding there gives our text. The two may differ only where llama.cpp itself has both tokens
// within two tolerances, and only at a few places.
//
// The tolerances follow from what llama.cpp does in a product with weights of a type: it rounds the activations to the type that
// the table names, which we do not (our engine multiplies in fp32, or rounds them to bf16). Units of rounding: fp32 2^-24, f16
// 2^-11, bf16 2^-9; Q8_0 2^-8 of the largest of 32 neighbours. Through three layers and a sum over the vocabulary this grows to
// what is measured (the largest of all cases stands beside the tolerance), and tolerated is about three times that.

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "precept/checkpoint/llama_config.h"
#include "precept/core/io.h"
#include "tests/cli/program.h"
#include "tests/support/family_tokenizers.h"
#include "tests/support/random_checkpoint.h"

namespace precept {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

constexpr int kPrompts = 20, kTokens = 100;

struct Format {
  const char* type;
  double tolerance;
  int others;  // tokens of 2,000 that may not be the peer's first
};
constexpr Format kF32 = {"f32", 1e-4, 0};      // measured: 1.2e-5 at most, 0 others
constexpr Format kF16 = {"f16", 3e-2, 20};     // 0.0096, 6
constexpr Format kBF16 = {"bf16", 0.25, 120};  // 0.080, 39
constexpr Format kQ8 = {"q8_0", 0.6, 300};     // 0.23, 113

struct Case {
  std::string name;
  LlamaConfig config;
  Json tokenizer;
};

// Sizes that are multiples of nothing; with `blocks`, rows of whole blocks of 32.
std::vector<Case> cases(bool blocks) {
  using Type = RopeScaling::Type;
  std::vector<Case> all;
  const auto add = [&](const char* name, Json tokenizer, auto change) {
    LlamaConfig c;
    c.vocab_size = 523;
    c.hidden_size = blocks ? 96 : 54;
    c.intermediate_size = blocks ? 160 : 101;
    c.num_hidden_layers = 3;
    c.num_attention_heads = blocks ? 3 : 6;
    c.num_key_value_heads = blocks ? 1 : 2;
    c.head_dim = blocks ? 32 : 10;
    c.max_position_embeddings = 200;
    change(c);
    all.push_back({name, c, std::move(tokenizer)});
  };
  const Json llama2 = sentencepiece_tokenizer(false), llama3 = byte_level_tokenizer("llama-bpe"), qwen = byte_level_tokenizer("qwen2");
  add("llama2", llama2, [](LlamaConfig& c) { c.num_key_value_heads = c.num_attention_heads; });
  add("llama_linear", llama2, [](LlamaConfig& c) { c.rope_scaling = {Type::kLinear, 2.5}; });
  add("llama_yarn", byte_level_tokenizer("gpt-2"), [](LlamaConfig& c) {
    c.rope_scaling = {Type::kYarn, 4, 50};
    c.rope_theta = 500;
  });
  add("llama_biases", llama2, [](LlamaConfig& c) { c.qkv_bias = c.out_bias = true; });
  add("llama3", llama3, [](LlamaConfig& c) {
    c.rope_scaling = {Type::kLlama3, 8, 64};
    c.rope_theta = 500;
  });
  add("smollm2", byte_level_tokenizer("smollm"), [](LlamaConfig& c) {
    c.tie_word_embeddings = true;
    c.rope_theta = 100000;
  });
  add("mistral", sentencepiece_tokenizer(true), [](LlamaConfig& c) {
    c.architecture = Architecture::kMistral;
    c.sliding_window = 200;
  });
  add("mistral_nemo", byte_level_tokenizer("tekken"), [](LlamaConfig& c) {  // heads wider than hidden_size / heads, no window
    c.architecture = Architecture::kMistral;
    c.head_dim += 2 * (c.head_dim % 32 != 0);
    c.rope_theta = 1e6;
  });
  add("qwen2", qwen, [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen2;
    c.hidden_size = c.num_attention_heads * c.head_dim;  // as llama.cpp has it in this architecture
    c.qkv_bias = true;
    c.tie_word_embeddings = true;
    c.rope_theta = 1e6;
  });
  add("qwen2_yarn", qwen, [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen2;
    c.hidden_size = c.num_attention_heads * c.head_dim;  // as llama.cpp has it in this architecture
    c.qkv_bias = true;
    c.rope_scaling = {Type::kYarn, 4, 50};
  });
  add("qwen3", qwen, [](LlamaConfig& c) {
    c.architecture = Architecture::kQwen3;
    c.qk_norm = true;
    c.rope_theta = 1e6;
  });
  return all;
}

std::size_t tokens_of(const Json& tokenizer) {
  std::size_t most = 0;
  for (const auto& [token, id] : tokenizer["model"]["vocab"].items()) most = std::max(most, id.get<std::size_t>());
  for (const Json& added : tokenizer["added_tokens"]) most = std::max(most, added["id"].get<std::size_t>());
  return most + 1;
}

struct Answer {
  std::vector<int> tokens;
  std::vector<double> logprobs;
  int prompt_tokens = 0;
};

class LlamaCpp : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    if (!has_engine()) GTEST_SKIP() << "built without language models";
    const char* source = std::getenv("PRECEPT_SOURCE");
    peer_ = std::string(source != nullptr ? source : ".") + "/tests/peers/llama_cpp";
    if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
    if (!std::filesystem::exists(peer_ + "/node_modules/node-llama-cpp")) GTEST_SKIP() << "the peer is not installed: scripts/install-peers";
    Rng rng({91, 0, 0, 0});
    std::string lines;
    for (int i = 0; i < kPrompts; ++i) {
      std::string text;
      for (std::uint64_t n = 1 + rng.below(7); n > 0; --n) {
        text += (text.empty() ? "" : " ") + family_words()[rng.below(family_words().size())];
        if (rng.below(5) == 0) text += ",";
      }
      texts_.push_back(text);
      lines += Json{{"id", std::to_string(i)}, {"prompt", text}}.dump() + "\n";
    }
    put("asked.jsonl", lines);
  }

  void make(const Case& one, const std::string& name) {
    Tensors tensors = random_tensors(one.config, 7);
    ASSERT_TRUE(make_folder(path(name)));
    write_tensors(path(name), tensors, false);
    put(name + "/config.json", llama_config_json(one.config, "float32"));
    put(name + "/tokenizer.json", one.tokenizer.dump());
    const bool spm = one.tokenizer["model"].value("byte_fallback", false);
    put(name + "/tokenizer_config.json", Json{{"bos_token", spm ? "<s>" : "<|begin|>"}}.dump());
  }

  std::vector<Answer> ask(const std::string& model) {
    const Ran ran = run("generate --quiet --raw --precision fp32 --model " + model + " --prompts asked.jsonl --temperature 0 --max-tokens " + std::to_string(kTokens) + " --json");
    EXPECT_EQ(ran.code, 0) << model << ": " << ran.err;
    std::vector<Answer> answers;
    std::istringstream lines(ran.out);
    for (std::string line; std::getline(lines, line);) {
      const Json json = Json::parse(line);
      answers.push_back({json["tokens"], json["logprobs"], json["usage"]["prompt_tokens"]});
      EXPECT_EQ(answers.back().tokens.size(), std::size_t{kTokens}) << line;
    }
    EXPECT_EQ(answers.size(), std::size_t{kPrompts}) << model;
    return answers;
  }

  // Adds a file and our answers to what the peer is asked. `choices`: an answer's tokens are below it. A folder's tokenizer may
  // know fewer tokens than the model has rows, and only those it knows are answered; its GGUF names them all.
  void follow(const std::string& gguf, const std::vector<Answer>& answers, std::size_t choices) {
    Json prompts = Json::array();
    for (std::size_t i = 0; i < answers.size(); ++i) prompts.push_back({{"text", texts_[i]}, {"tokens", answers[i].tokens}});
    job_.push_back({{"model", path(gguf)}, {"choices", choices}, {"prompts", prompts}});
  }

  Json peer() {
    put("job.json", job_.dump());
    const std::string command = "node " + peer_ + "/follow.mjs " + path("job.json") + " >" + path("peer.json") + " 2>" + path("peer.log");
    EXPECT_EQ(std::system(command.c_str()), 0) << slurp(path("peer.log"));
    return Json::parse(slurp(path("peer.json")), nullptr, false);
  }

  struct Found {
    double worst = 0;   // largest difference of log-probs
    int others = 0;     // tokens that are not the peer's first
    double margin = 0;  // how much likelier the peer's first was, at most
  };
  // Over positions `first` to `last` of the text.
  static Found compare(const std::vector<Answer>& ours, const Json& theirs, int first = 0, int last = 1000) {
    Found found;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(theirs[i]["prompt_tokens"], ours[i].prompt_tokens);
      for (std::size_t k = 0; k < ours[i].tokens.size(); ++k) {
        const int position = ours[i].prompt_tokens + static_cast<int>(k);
        if (position < first || position > last) continue;
        const Json& step = theirs[i]["steps"][k];
        const double logprob = step["logprob"];
        found.worst = std::max(found.worst, std::abs(logprob - ours[i].logprobs[k]));
        if (step["top"] == ours[i].tokens[k]) continue;
        ++found.others;
        found.margin = std::max(found.margin, step["top_logprob"].get<double>() - logprob);
      }
    }
    return found;
  }

  static void expect_alike(const std::string& name, const Format& format, const Found& found) {
    RecordProperty(name + "_" + format.type, std::to_string(found.worst));
    std::printf("%-14s %-5s log-probs within %.2g, %d of %d tokens other, by at most %.2g\n", name.c_str(), format.type, found.worst, found.others, kPrompts * kTokens, found.margin);
    EXPECT_LE(found.worst, format.tolerance) << name << " " << format.type;
    EXPECT_LE(found.margin, 2 * format.tolerance) << name << " " << format.type;
    EXPECT_LE(found.others, format.others) << name << " " << format.type;
  }

  void compare_all(bool blocks, const std::vector<Format>& formats) {
    std::vector<std::vector<Answer>> answers;
    const std::vector<Case> all = cases(blocks);
    for (const Case& one : all) {
      make(one, one.name);
      for (const Format& format : formats) {
        const std::string gguf = one.name + "-" + format.type + ".gguf";
        const Ran ran = run("model convert --type " + std::string(format.type) + " " + one.name + " " + gguf);
        ASSERT_EQ(ran.code, 0) << ran.err;
        // In F32 the checkpoint itself answers; the other files hold other numbers than it.
        const bool itself = std::string(format.type) == "f32";
        answers.push_back(ask(itself ? one.name : gguf));
        follow(gguf, answers.back(), itself ? tokens_of(one.tokenizer) : static_cast<std::size_t>(one.config.vocab_size));
      }
    }
    const Json found = peer();
    ASSERT_EQ(found.size(), answers.size());
    for (std::size_t i = 0; i < answers.size(); ++i) {
      expect_alike(all[i / formats.size()].name, formats[i % formats.size()], compare(answers[i], found[i]));
    }
  }

  std::string peer_;
  std::vector<std::string> texts_;
  Json job_ = Json::array();
};

TEST_F(LlamaCpp, EveryArchitectureOfOddSizes) { compare_all(false, {kF32, kF16, kBF16}); }
TEST_F(LlamaCpp, EveryArchitectureInBlocks) { compare_all(true, {kQ8}); }

// Mistral: a token attends to itself and the window - 1 tokens before it (arXiv 2310.06825, section 2; transformers masks the
// rest; tests/lm checks ours by that formula). llama.cpp reads attention.sliding_window of a "llama" file and attends to all:
// it is right up to the window, and beyond it what it computes is the same model without one. `convert` warns of it.
TEST_F(LlamaCpp, SlidingWindowsEndWhereTheirsDoesNot) {
  constexpr int kWindow = 50;
  Case one = cases(false)[6];
  ASSERT_EQ(one.name, "mistral");
  one.config.sliding_window = kWindow;
  make(one, "window");
  one.config.sliding_window = 0;
  make(one, "all");
  const Ran ran = run("model convert --type f32 window window.gguf");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("llama.cpp knows no sliding window"));
  const std::vector<Answer> with = ask("window"), without = ask("all");
  follow("window.gguf", with, tokens_of(one.tokenizer));
  follow("window.gguf", without, tokens_of(one.tokenizer));
  const Json found = peer();
  expect_alike("up_to_window", kF32, compare(with, found[0], 0, kWindow));
  EXPECT_GT(compare(with, found[0], kWindow + 1).worst, 100 * kF32.tolerance);
  expect_alike("without_window", kF32, compare(without, found[1]));
}

}  // namespace
}  // namespace precept
