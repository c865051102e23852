// What goes wrong because of input or the outside world is one line and a hint, with exit code 2 or 3,
// from whichever command meets it.

#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/text/chat_format.h"
#include "precept/text/tokenizer.h"
#include "tests/cli/program.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class BadInput : public ProgramTest {
 protected:
  std::string generate(const std::string& model, const std::string& rest = "--prompt Hello") const {
    return "generate --model '" + model + "' " + rest;
  }
  std::string revise(const std::string& rest) const {
    return "revise --model scripted:script.jsonl --constitution good.toml " + rest;
  }

  // A checkpoint of random weights for `tokens` tokens that loads; its tokenizer has `vocabulary` entries.
  std::string make_checkpoint(const std::string& name, int vocabulary, int tokens = 262);
};

std::string BadInput::make_checkpoint(const std::string& name, int vocabulary, int tokens) {
  LlamaConfig config;
  config.vocab_size = tokens;
  config.hidden_size = 16;
  config.intermediate_size = 32;
  config.num_hidden_layers = 1;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 2;
  config.head_dim = 8;
  config.max_position_embeddings = 128;
  config.tie_word_embeddings = true;
  config.bos_token_id = 1;
  config.eos_token_id = 2;
  std::string folder = path(name);
  fs::create_directories(folder);
  put(name + "/config.json", llama_config_json(config));
  BpeOptions options;
  options.vocab_size = vocabulary;
  options.special_tokens = pocket_special_tokens();
  const auto tokenizer = train_bpe({{"the fox sees the other fox", 100}}, options);
  EXPECT_TRUE(tokenizer.has_value());
  EXPECT_EQ(tokenizer->size(), vocabulary);
  EXPECT_TRUE(write_tokenizer_files(folder, *tokenizer, ChatFormat::pocket(*tokenizer)).has_value());
  std::vector<std::string> bytes;
  std::vector<TensorView> tensors;
  const auto add = [&](const std::string& tensor, std::vector<std::int64_t> shape) {
    std::int64_t count = 1;
    for (const std::int64_t n : shape) count *= n;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.01F * static_cast<float>(i % 7);
    bytes.push_back(to_bf16_bytes(values));
    tensors.push_back({tensor, Dtype::kBF16, std::move(shape), {}});
  };
  const std::string layer = "model.layers.0.";
  add("model.embed_tokens.weight", {tokens, 16});
  add("model.norm.weight", {16});
  for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) add(layer + norm + ".weight", {16});
  for (const char* p : {"q", "k", "v", "o"}) add(layer + "self_attn." + p + "_proj.weight", {16, 16});
  for (const char* p : {"gate", "up"}) add(layer + "mlp." + p + "_proj.weight", {32, 16});
  add(layer + "mlp.down_proj.weight", {16, 32});
  for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].bytes = bytes[i];
  EXPECT_TRUE(write_safetensors(folder + "/model.safetensors", tensors).has_value());
  return folder;
}

TEST_F(BadInput, MissingAndEmptyFiles) {
  put("empty", "");
  expect_error(run("constitution show missing.toml"), 2, "missing.toml");
  expect_error(run("constitution show empty"), 2);
  expect_error(run(generate("scripted:script.jsonl", "--prompts missing.jsonl")), 2, "missing.jsonl");
  expect_error(run(generate("scripted:script.jsonl", "--prompts empty")), 2, "empty");
  expect_error(run(generate("scripted:missing.jsonl")), 2, "missing.jsonl");
  expect_error(run(generate("scripted:empty")), 2, "empty");
  expect_error(run(generate("no-such-folder")), 2, "no-such-folder");
  expect_error(run(revise("--prompts missing.jsonl --run r")), 2, "missing.jsonl");
  expect_error(run(generate("scripted:")), 2, "names no file");
  fs::create_directory(path("folder"));
  for (const char* name : {"no-such-run", "folder"}) {
    SCOPED_TRACE(name);
    expect_error(run(std::string("export --what sft --run ") + name), 2, name);
    expect_error(run(std::string("report --run ") + name), 2, name);
    if (has_engine()) expect_error(run(generate(name)), 2, name);
    const Ran train = run(std::string("train sft --run ") + name);
    expect_error(train, 2, std::string(name) + "/sft.jsonl: no such file");
    EXPECT_NE(train.err.find("hint: write it first: precept export"), std::string::npos) << train.err;
  }
  expect_error(run(revise("--prompts folder --run r")), 2, "folder: is a folder");
  expect_error(run("train sft --data empty --out m"), 2, "empty: no examples");
  expect_error(run("eval --model scripted:script.jsonl --prompts empty --run e"), 2, "empty: no prompts");
  for (const char* name : {"r", "m", "e"}) EXPECT_FALSE(fs::exists(path(name))) << name;
}

TEST_F(BadInput, Prompts) {
  const std::string good = "{\"id\":\"a\",\"prompt\":\"Hi\"}\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"id\":\"b\"}", "neither prompt nor messages"},
      {"{\"prompt\":\"\"}", "prompt is empty"},
      {"{\"id\":\"a\",\"prompt\":\"Ho\"}", "id \"a\" is already that of line 1"},
      {"{\"promt\":\"Hi\"}", "unknown key \"promt\""},
      {"{\"prompt\":5}", "prompt must be a string"},
      {"{\"prompt\":\"Hi\"", "not JSON"},
      {"{\"prompt\":\"caf\xe9\"}", "not UTF-8"},
      {"{\"messages\":[]}", "messages is empty"},
      {"{\"messages\":[{\"role\":\"assistant\",\"content\":\"x\"}]}", "the last turn is the assistant's"}};
  for (const auto& [line, words] : cases) {
    SCOPED_TRACE(line);
    put("bad.jsonl", good + line + "\n");
    expect_error(run(revise("--prompts bad.jsonl --run r")), 2, "bad.jsonl:2: " + words);
    expect_error(run(generate("scripted:script.jsonl", "--prompts bad.jsonl")), 2, "bad.jsonl:2: " + words);
    EXPECT_FALSE(fs::exists(path("r")));
  }
}

TEST_F(BadInput, GenerateArguments) {
  expect_error(run("generate --prompt Hi"), 2, "model");
  expect_error(run("generate --model scripted:script.jsonl"), 2, "prompt");
  for (const char* wrong : {"--temperature -1", "--top-p 0", "--top-p 1.5", "--max-tokens 0", "--stop ''",
                            "--max-tokens x", "--no-such-flag"}) {
    SCOPED_TRACE(wrong);
    expect_error(run(generate("scripted:script.jsonl", std::string("--prompt Hi ") + wrong)), 2);
  }
}

TEST_F(BadInput, Constitutions) {
  const std::string head = "[constitution]\nname = \"n\"\nversion = \"1\"\nlanguage = \"en\"\n"
                           "license = \"CC0-1.0\"\npriorities = [\"ethics\"]\n";
  const std::string principle = "[[principle]]\nid = \"kind\"\ntext = \"Be kind.\"\nwhy = \"w\"\n"
                                "priority = \"ethics\"\nsource = { name = \"us\" }\n";
  put("twice.toml", head + principle + principle);
  put("latin1.toml", head + "[[principle]]\nid = \"cafe\"\ntext = \"Caf\xe9.\"\npriority = \"ethics\"\n");
  expect_error(run("constitution show twice.toml"), 2, "twice.toml:");
  expect_error(run("constitution show latin1.toml"), 2, "latin1.toml:9");
  EXPECT_EQ(run("constitution check twice.toml").code, 1);
  for (const char* name : {"twice.toml:13: id", "latin1.toml:9: not UTF-8"}) {
    const std::string file = std::string(name).substr(0, std::string(name).find(':'));
    expect_error(run("revise --model scripted:script.jsonl --prompts prompts.jsonl --run r --constitution " + file), 2, name);
    expect_error(run("eval --model scripted:script.jsonl --run r --constitution " + file), 2, name);
    if (has_engine()) expect_error(run("quickstart --out r --constitution " + file), 2, name);
    EXPECT_FALSE(fs::exists(path("r")));
  }
}

TEST_F(BadInput, TruncatedCheckpoint) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const std::string folder = make_checkpoint("cut", 262);
  const std::string weights = folder + "/model.safetensors";
  const auto whole = fs::file_size(weights);
  put("sft.jsonl", "{\"prompt\":\"the fox\",\"completion\":\"sees\"}\n");
  for (const auto size : {whole - 1, whole / 2, std::uintmax_t{100}, std::uintmax_t{7}, std::uintmax_t{0}}) {
    SCOPED_TRACE(size);
    fs::resize_file(weights, size);
    expect_error(run(generate(folder)), 2, "model.safetensors");
    expect_error(run("train sft --data sft.jsonl --out m --model '" + folder + "'"), 2, "model.safetensors");
    expect_error(run("eval --held-out 3 --model '" + folder + "'"), 2, "model.safetensors");
  }
  EXPECT_FALSE(fs::exists(path("m/model.safetensors")));
}

// The same checkpoint without a fault answers: the two tests around this one fail for their own reason.
TEST_F(BadInput, CheckpointWithoutFault) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  const Ran outcome = run(generate(make_checkpoint("good", 262), "--prompt Hello --max-tokens 3"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST_F(BadInput, TokenizerThatDoesNotFit) {
  PRECEPT_SKIP_WITHOUT_ENGINE();
  put("sft.jsonl", "{\"prompt\":\"the fox\",\"completion\":\"sees\"}\n");
  const std::vector<std::pair<std::string, std::string>> cases = {
      {make_checkpoint("larger", 270), "the tokenizer has 270 tokens, the model 262"},
      {make_checkpoint("smaller", 262, 600), "the tokenizer has 262 tokens, the model 600"}};
  for (const auto& [folder, words] : cases) {
    SCOPED_TRACE(folder);
    expect_error(run(generate(folder)), 2, words);
    expect_error(run("revise --prompts prompts.jsonl --run r --model '" + folder + "'"), 2, words);
    expect_error(run("train sft --data sft.jsonl --out m --model '" + folder + "'"), 2, words);
    expect_error(run("model convert '" + folder + "' m.gguf"), 2, words);
  }
  for (const char* name : {"r", "m", "m.gguf"}) EXPECT_FALSE(fs::exists(path(name))) << name;
}

TEST_F(BadInput, EndpointDown) {
  int port = 0;
  {
    const TestServer server;
    port = server.port();
  }
  expect_error(run(generate("http://127.0.0.1:" + std::to_string(port) + "/v1#m")), 3, "127.0.0.1");
  expect_error(run(generate("http://127.0.0.1:notaport/v1#m")), 2, "not a model address");
}

TEST_F(BadInput, EndpointMisbehaves) {
  const std::vector<std::pair<Trouble, std::string>> cases = {
      {Trouble::kSlow, "in time"}, {Trouble::kTooMany, "429"}, {Trouble::kInternal, "500"},
      {Trouble::kHtml, "not JSON"}, {Trouble::kHalfJson, "not JSON"}, {Trouble::kDrop, "127.0.0.1"},
      {Trouble::kFlood, "127.0.0.1"}};
  for (const auto& [trouble, words] : cases) {
    SCOPED_TRACE(name_of(trouble));
    const TestServer server({.share = {{trouble, 1.0}}, .slow = std::chrono::milliseconds(3000)});
    const std::string limits = "PRECEPT_HTTP_TIMEOUT=0.3 PRECEPT_HTTP_RETRIES=1";
    expect_error(run(generate(server.base() + "#test"), limits), 3, words);
    const Ran many = run(generate(server.base() + "#test", "--prompts prompts.jsonl --json"), limits);
    expect_error(many, 3, "2 of 2 prompts failed");
    EXPECT_NE(many.err.find("\"b\""), std::string::npos) << "each failed prompt is named";
  }
}

// The loop through an endpoint that troubles: what was answered is kept, what failed is named, and the same command at a
// server that has recovered finishes to the same run.
TEST_F(BadInput, EndpointThatRecovers) {
  std::string prompts;
  for (int i = 0; i < 40; ++i) prompts += "{\"prompt\":\"Question " + std::to_string(i) + "\"}\n";
  put("many.jsonl", prompts);
  const auto answer = [](const nlohmann::json&) -> Result<std::string> { return "no"; };
  const std::string command = "revise --prompts many.jsonl --constitution good.toml --model ";
  int port = 0;
  {
    const TestServer server({.share = {{Trouble::kInternal, 0.3}, {Trouble::kHtml, 0.3}}, .content = answer});
    port = server.port();
    expect_error(run(command + server.base() + "#test --run r", "PRECEPT_HTTP_RETRIES=0"), 3, "items failed; the first: ");
  }
  const Ran half = run("export --what traces --run r");
  EXPECT_NE(half.out.find("\"ending\":\"complied\""), std::string::npos);
  expect_error(run(command + "http://127.0.0.1:" + std::to_string(port) + "/v1#test --run r", "PRECEPT_HTTP_RETRIES=0"), 3, "127.0.0.1");
  EXPECT_EQ(run("export --what traces --run r").out, half.out) << "the refused command changed the run";
  const TestServer server({.port = port, .content = answer});
  if (!server.listening()) GTEST_SKIP() << "another program has taken port " << port;
  EXPECT_EQ(run(command + server.base() + "#test --run r").code, 0);
  EXPECT_EQ(run(command + server.base() + "#test --run whole").code, 0);
  EXPECT_EQ(run("export --what traces --run r").out, run("export --what traces --run whole").out);
}

}  // namespace
}  // namespace precept
