// Checkpoints that are damaged or do not fit: one line that names what is wrong.

#include <functional>

#include "tests/lm/engine_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;

// Opens a checkpoint after `damage`; returns the error's message.
std::string error_after(const std::function<void(Checkpoint&)>& damage) {
  Checkpoint checkpoint(engine_test::shape_of(32, 2, 2, 1, 16, 48, false));
  damage(checkpoint);
  const Result<std::unique_ptr<Model>> model = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {});
  EXPECT_FALSE(model.has_value());
  if (model) return "";
  EXPECT_EQ(model.error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(model.error().message().find('\n'), std::string::npos);
  EXPECT_NE(model.error().message().find(checkpoint.folder.path()), std::string::npos) << model.error().message();
  return model.error().message();
}

TEST(EngineOpen, NamesTensorsThatDoNotFit) {
  EXPECT_NE(error_after([](Checkpoint& c) {
              c.tensors.values.erase("model.layers.1.mlp.up_proj.weight");
              c.tensors.shapes.erase("model.layers.1.mlp.up_proj.weight");
              write_tensors(c.folder.path(), c.tensors);
            }).find("lacks the tensor model.layers.1.mlp.up_proj.weight"),
            std::string::npos);
  EXPECT_NE(error_after([](Checkpoint& c) {
              c.tensors.shapes["lm_head.weight"] = {32, c.config.vocab_size};
              write_tensors(c.folder.path(), c.tensors);
            }).find("lm_head.weight is [32, "),
            std::string::npos);
  EXPECT_NE(error_after([](Checkpoint& c) {
              c.tensors.shapes["model.layers.2.extra"] = {1};
              c.tensors.values["model.layers.2.extra"] = {1};
              write_tensors(c.folder.path(), c.tensors);
            }).find("model.layers.2.extra"),
            std::string::npos);
  EXPECT_NE(error_after([](Checkpoint& c) {
              c.tensors.values["model.norm.weight"][3] = std::nanf("");
              write_tensors(c.folder.path(), c.tensors);
            }).find("model.norm.weight holds values that are not finite"),
            std::string::npos);
}

// Whatever was built in and wherever this runs; where there is a GPU, "cuda" opens.
TEST(EngineOpen, DevicesThatThereAreNot) {
  const Checkpoint checkpoint(engine_test::shape_of(32, 2, 2, 1, 16, 48, false));
  const auto refusal = [&](const std::string& device) {
    const auto model = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {.device = device});
    if (model) return std::string("(opened)");
    EXPECT_EQ(model.error().kind, ErrorKind::kBadInput);
    EXPECT_FALSE(model.error().hint.empty());
    return model.error().message();
  };
  for (const std::string device : {"", "gpu", "cuda:", "cuda:x", "cuda:123", "CPU"}) {
    EXPECT_EQ(refusal(device), "there is no device \"" + device + "\"");
  }
  const std::string cuda = refusal("cuda:99");
  EXPECT_TRUE(cuda.find("there is no libprecept_lm_torch.so") != std::string::npos || cuda.find("there is no device cuda:99") != std::string::npos ||
              cuda.find("no CUDA device") != std::string::npos)
      << cuda;
  EXPECT_EQ(refusal("cpu"), "(opened)");
}

TEST(EngineOpen, TruncatedFiles) {
  for (const char* file : {"model.safetensors", "config.json", "tokenizer.json", "chat.json"}) {
    error_after([file](Checkpoint& c) {
      const std::string path = c.folder.path() + "/" + file;
      std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
    });
    if (std::string(file) == "chat.json") continue;  // without it the template of tokenizer_config.json is used
    error_after([file](Checkpoint& c) { std::filesystem::remove(c.folder.path() + "/" + file); });
  }
}

TEST(EngineOpen, TokenizerOfAnotherModel) {
  const std::string message = error_after([](Checkpoint& c) {
    std::map<std::string, std::int64_t> words;
    for (int i = 0; i < 200; ++i) words[" word" + std::to_string(i * 7919)] = 5;
    BpeOptions options;
    options.vocab_size = 400;
    options.special_tokens = pocket_special_tokens();
    const Tokenizer other = *train_bpe(words, options);
    ASSERT_GT(other.size(), c.config.vocab_size);
    ASSERT_TRUE(write_tokenizer_files(c.folder.path(), other, ChatFormat::pocket(other)));
  });
  EXPECT_NE(message.find("tokenizer has"), std::string::npos) << message;
}

TEST(EngineOpen, DigestFollowsTheWeights) {
  const LlamaConfig config = engine_test::shape_of(32, 2, 2, 1, 16, 48, true);
  const Checkpoint one(config, 1), same(config, 1), other(config, 2);
  EXPECT_EQ(one.open()->info().digest, same.open()->info().digest);
  EXPECT_NE(one.open()->info().digest, other.open()->info().digest);
  EXPECT_EQ(one.open()->info().parameters, config.parameters());
}

}  // namespace
}  // namespace precept
