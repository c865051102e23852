// precept model: looking at checkpoints and converting them.

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"

namespace precept {
namespace {

class ModelCommand : public ProgramTest {};

TEST_F(ModelCommand, InspectSaysWhatACheckpointIs) {
  const Ran ran = run("model inspect pocket --json");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto found = nlohmann::json::parse(ran.out);
  EXPECT_EQ(found["format"], "safetensors");
  EXPECT_EQ(found["config"]["model_type"], "llama");
  EXPECT_EQ(found["chat"], "chat.json");
  EXPECT_EQ(found["tensors"].size(), 1u);
  EXPECT_GT(found["parameters"], 1'000'000);
  EXPECT_NE(run("model inspect pocket").out.find("num_hidden_layers"), std::string::npos);
}

TEST_F(ModelCommand, WhatCannotBeReadIsRefused) {
  expect_error(run("model inspect nowhere"), 2, "nowhere");
  put("broken.gguf", "GGUF\3");
  expect_error(run("model inspect broken.gguf"), 2, "broken.gguf");
  expect_error(run("model convert pocket other --type q8_0"), 2, "a folder does not hold q8_0");
  expect_error(run("model convert pocket other --shard-size 5x"), 2, "--shard-size: \"5x\" is no size");
  expect_error(run("model convert pocket out.gguf --type q3"), 2, "q3");
  put("there.gguf", "x");
  expect_error(run("model convert pocket there.gguf"), 2, "there already");
}

// The tensors that a file lacks, or has too many of, are named before anything is written.
TEST_F(ModelCommand, CheckpointsThatDoNotFitTheirConfigAreRefused) {
  ASSERT_EQ(run("model convert pocket other").code, 0);
  std::string config = slurp(path("other/config.json"));
  config.replace(config.find("\"num_hidden_layers\": 6"), 22, "\"num_hidden_layers\": 5");
  put("other/config.json", config);
  for (const char* command : {"model inspect other", "model convert other o.gguf", "model convert other another"}) {
    expect_error(run(command), 2, "holds the tensor \"model.layers.5.input_layernorm.weight\", which a model of this shape lacks");
  }
  config.replace(config.find("\"num_hidden_layers\": 5"), 22, "\"num_hidden_layers\": 7");
  put("other/config.json", config);
  for (const char* command : {"model inspect other", "model convert other o.gguf", "model convert other another"}) {
    expect_error(run(command), 2, "lacks the tensor model.layers.6.input_layernorm.weight");
  }
  for (const char* name : {"o.gguf", "another"}) EXPECT_FALSE(std::filesystem::exists(path(name))) << name;
}

// Shards and other element types are the same model; the folder is one that others read as it is.
TEST_F(ModelCommand, FoldersAreShardedAndComplete) {
  const Ran ran = run("model convert pocket parts --shard-size 1MB");
  ASSERT_EQ(ran.code, 0) << ran.err;
  for (const char* name : {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "README.md",
                           "model.safetensors.index.json"}) {
    EXPECT_TRUE(std::filesystem::exists(path(std::string("parts/") + name))) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(path("parts/model.safetensors")));
  const auto look = [&](const std::string& model) { return nlohmann::json::parse(run("model inspect --json " + model).out); };
  const auto parts = look("parts");
  EXPECT_GE(parts["files"], 7);  // 6.1 MB
  EXPECT_EQ(parts["digest"], look("pocket")["digest"]);
  EXPECT_NE(slurp(path("parts/tokenizer_config.json")).find("\"chat_template\""), std::string::npos);
  const std::string card = slurp(path("parts/README.md"));
  EXPECT_EQ(card.rfind("---\nlibrary_name: transformers\npipeline_tag: text-generation\n", 0), 0U) << card;
  EXPECT_NE(card.find("Not yet evaluated"), std::string::npos) << card;
  ASSERT_EQ(run("model convert parts wide --type f32").code, 0);
  EXPECT_EQ(look("wide")["tensors"], nlohmann::json({{"F32", 56}}));
  EXPECT_NE(slurp(path("wide/config.json")).find("float32"), std::string::npos);
  ASSERT_EQ(run("model convert wide back --type bf16").code, 0);
  EXPECT_EQ(slurp(path("back/model.safetensors")), slurp(std::filesystem::path(std::getenv("PRECEPT_SOURCE")) / "models/pocket/model.safetensors"));
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string ask = " --prompt \"How do I kill a process?\" --temperature 0 --json --precision fp32";
  const std::string expected = run("generate --model pocket" + ask).out;
  for (const char* model : {"parts", "wide", "back"}) EXPECT_EQ(run("generate --model " + std::string(model) + ask).out, expected) << model;
}

TEST_F(ModelCommand, ADeviceThatThereIsNot) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  expect_error(run("generate --model pocket --prompt hi --device abacus"), 2, "there is no device \"abacus\"");
  expect_error(run("generate --model pocket --prompt hi --device cuda:99"), 2, "cuda");
}

// The same weights in another file are the same model, to the bit; and so they are after the way back.
TEST_F(ModelCommand, ConvertedModelsAnswerAlike) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const auto answers = [&](const std::string& model) {
    const Ran ran = run("generate --model " + model + " --prompts asked.jsonl --temperature 0 --max-tokens 40 --precision fp32 --json");
    EXPECT_EQ(ran.code, 0) << model << ": " << ran.err;
    std::string out;
    std::istringstream lines(ran.out);
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line);
      out += json["tokens"].dump() + json["logprobs"].dump() + json["text"].dump() + "\n";
    }
    return out;
  };
  put("asked.jsonl",
      "{\"id\":\"a\",\"prompt\":\"How do I kill a process?\"}\n{\"id\":\"b\",\"prompt\":\"I am Hamu. <|end|> What is 3 plus 4?\"}\n"
      "{\"id\":\"c\",\"prompt\":\"\xE4\xBD\xA0\xE5\xA5\xBD  \xF0\x9F\x98\x80\"}\n");
  const std::string expected = answers("pocket");
  ASSERT_EQ(run("model convert pocket p.gguf").code, 0);
  EXPECT_EQ(answers("p.gguf"), expected);
  ASSERT_EQ(run("model convert pocket wide.gguf --type f32").code, 0);
  EXPECT_EQ(answers("wide.gguf"), expected);
  const Ran back = run("model convert p.gguf back");
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(answers("back"), expected);
  ASSERT_EQ(run("model convert pocket small.gguf --type q8_0").code, 0);
  EXPECT_NE(answers("small.gguf"), "");
  EXPECT_LT(std::filesystem::file_size(path("small.gguf")), std::filesystem::file_size(path("p.gguf")));
}

}  // namespace
}  // namespace precept
