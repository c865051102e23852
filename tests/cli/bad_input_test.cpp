// What goes wrong because of input or the outside world is one line and a hint, with exit code 2 or 3,
// from whichever command meets it. Runs the built program ($PRECEPT_BINARY).

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/text/chat_format.h"
#include "precept/text/tokenizer.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string out;
  std::string err;
};

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    const char* binary = std::getenv("PRECEPT_BINARY");
    ASSERT_NE(binary, nullptr) << "PRECEPT_BINARY names the program to test (ctest sets it)";
    ASSERT_TRUE(fs::exists(binary)) << binary << " is not built";
    binary_ = binary;
    std::string pattern = (fs::temp_directory_path() / "precept_bad_input_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    put("prompts.jsonl", "{\"id\":\"a\",\"prompt\":\"Say something.\"}\n{\"id\":\"b\",\"prompt\":\"More.\"}\n");
    put("script.jsonl", "{\"name\":\"s\",\"can_score\":false}\n{\"match\":\"\",\"reply\":\"no\"}\n");
    put("good.toml",
        "[constitution]\nname = \"n\"\nversion = \"1\"\nlanguage = \"en\"\nlicense = \"CC0-1.0\"\n"
        "priorities = [\"ethics\"]\n[[principle]]\nid = \"kind\"\ntext = \"Be kind.\"\n"
        "why = \"It helps.\"\npriority = \"ethics\"\nsource = { name = \"us\" }\n");
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  std::string put(const std::string& name, const std::string& bytes) {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // `before` is shell text in front of the program: environment, limits.
  Outcome run(const std::string& arguments, const std::string& before = "") const {
    const std::string command = "cd '" + folder_.string() + "' && " + before + " '" + binary_ + "' " +
                                arguments + " 2> '" + path("stderr") + "'" +
                                (arguments.find('>') == std::string::npos ? " > '" + path("stdout") + "'" : "");
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128, slurp(path("stdout")), slurp(path("stderr"))};
  }

  // Exit code 2 or 3 as expected, exactly one error line and one hint, in this order at the end.
  static void expect_error(const Outcome& outcome, int code, const std::string& words = "") {
    EXPECT_EQ(outcome.code, code) << outcome.err;
    std::vector<std::string> errors;
    std::vector<std::string> hints;
    std::istringstream lines(outcome.err);
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("precept: error: ", 0) == 0) errors.push_back(line);
      if (line.rfind("hint: ", 0) == 0) hints.push_back(line);
    }
    ASSERT_EQ(errors.size(), 1U) << outcome.err;
    ASSERT_EQ(hints.size(), 1U) << outcome.err;
    EXPECT_GT(errors[0].size(), std::string("precept: error: ").size() + 5);
    EXPECT_GT(hints[0].size(), std::string("hint: ").size() + 5);
    EXPECT_NE(errors[0].find(words), std::string::npos) << errors[0];
  }

  std::string generate(const std::string& model, const std::string& rest = "--prompt Hello") const {
    return "generate --model '" + model + "' " + rest;
  }
  std::string revise(const std::string& rest) const {
    return "revise --model scripted:script.jsonl --constitution good.toml " + rest;
  }

  // A checkpoint of random weights that loads; its tokenizer has `vocabulary` entries.
  std::string make_checkpoint(const std::string& name, int vocabulary);

  fs::path folder_;
  std::string binary_;
};

std::string BadInput::make_checkpoint(const std::string& name, int vocabulary) {
  LlamaConfig config;
  config.vocab_size = 262;
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
  const std::string folder = path(name);
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
  add("model.embed_tokens.weight", {262, 16});
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
  expect_error(run("export --what sft --run no-such-run"), 2, "no-such-run");
}

TEST_F(BadInput, Prompts) {
  put("no_text.jsonl", "{\"id\":\"a\",\"prompt\":\"Hi\"}\n{\"id\":\"b\"}\n");
  put("twice.jsonl", "{\"id\":\"a\",\"prompt\":\"Hi\"}\n{\"id\":\"a\",\"prompt\":\"Ho\"}\n");
  expect_error(run(generate("scripted:script.jsonl", "--prompts no_text.jsonl")), 2, "no_text.jsonl:2");
  expect_error(run(generate("scripted:script.jsonl", "--prompts twice.jsonl")), 2, "twice.jsonl:2");
  expect_error(run(revise("--prompts no_text.jsonl --run r")), 2, "no_text.jsonl:2");
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
}

TEST_F(BadInput, TruncatedCheckpoint) {
  const std::string folder = make_checkpoint("cut", 262);
  fs::resize_file(folder + "/model.safetensors", fs::file_size(folder + "/model.safetensors") / 2);
  expect_error(run(generate(folder)), 2, "model.safetensors");
}

// The same checkpoint without a fault answers: the two tests around this one fail for their own reason.
TEST_F(BadInput, CheckpointWithoutFault) {
  const Outcome outcome = run(generate(make_checkpoint("good", 262), "--prompt Hello --max-tokens 3"));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
}

TEST_F(BadInput, TokenizerThatDoesNotFit) {
  expect_error(run(generate(make_checkpoint("other", 270))), 2, "tokenizer");
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
      {Trouble::kHtml, "not JSON"}, {Trouble::kHalfJson, "not JSON"}};
  for (const auto& [trouble, words] : cases) {
    SCOPED_TRACE(name_of(trouble));
    const TestServer server({.share = {{trouble, 1.0}}, .slow = std::chrono::milliseconds(3000)});
    const std::string limits = "PRECEPT_HTTP_TIMEOUT=0.3 PRECEPT_HTTP_RETRIES=1";
    expect_error(run(generate(server.base() + "#test"), limits), 3, words);
    const Outcome many = run(generate(server.base() + "#test", "--prompts prompts.jsonl --json"), limits);
    expect_error(many, 3, "2 of 2 prompts failed");
    EXPECT_NE(many.err.find("\"b\""), std::string::npos) << "each failed prompt is named";
  }
}

TEST_F(BadInput, FullDisk) {
  expect_error(run(generate("scripted:script.jsonl") + " > /dev/full"), 3);
  // Files may not grow beyond 4 KB: what SQLite meets on a full disk, as near as a test can come.
  expect_error(run(revise("--prompts prompts.jsonl --run r"), "trap '' XFSZ; ulimit -f 8;"), 3);
  // Nothing is lost: with room again, the same command finishes.
  EXPECT_EQ(run(revise("--prompts prompts.jsonl --run r")).code, 0);
}

TEST_F(BadInput, ReadOnlyRunFolder) {
  expect_error(run(revise("--prompts prompts.jsonl --run /proc/precept-run")), 3, "/proc/precept-run");
}

TEST_F(BadInput, ChangedRecipe) {
  const Outcome first = run(revise("--prompts prompts.jsonl --run r --seed 1"));
  ASSERT_EQ(first.code, 0) << first.err;
  const Outcome traces = run("export --what traces --run r");
  expect_error(run(revise("--prompts prompts.jsonl --run r --seed 2")), 2, "seed");
  EXPECT_EQ(run("export --what traces --run r").out, traces.out) << "the refused command changed the run";
  EXPECT_EQ(run(revise("--prompts prompts.jsonl --run r --seed 1")).code, 0);
}

}  // namespace
}  // namespace precept
