// A budget in bytes against what the process really takes: weights, activations, adapters and a cache that has been filled.
#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include "tests/lm/engine_support.h"
#include "tests/lm/lora_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using engine_test::Folder;

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kBudget = 80 * kMiB;
constexpr std::int64_t kBesides = 4 * kMiB;  // tokenizer, requests and answers, which no budget counts

// Little to compute and much to keep: 12 KiB a token in bf16.
LlamaConfig shape() { return engine_test::shape_of(64, 6, 8, 8, 64, 512, true); }

// Bytes of memory that is no file's; the checkpoint's mapped file can be dropped at any time.
std::int64_t anonymous() {
  std::ifstream status("/proc/self/status");
  for (std::string key; status >> key;) {
    std::int64_t kb = 0;
    if (key == "RssAnon:" && status >> kb) return kb * 1024;
  }
  return 0;
}

constexpr int kPrompts = 40;  // more than fit into any of these budgets at once

// Answers kPrompts prompts, each of other tokens, and calls `look` after every step. Returns how many were answered.
int answered(Model& model, bool adapted, const std::function<void()>& look) {
  int count = 0;
  for (int i = 0; i < kPrompts; ++i) {
    GenerateRequest request;
    std::string text = std::to_string(i);
    for (int w = 0; w < 120; ++w) text += (i >> w % 8 & 1) != 0 ? " fox" : " kind";
    request.messages = {{"user", text}};
    request.sampling.max_tokens = 30;
    request.key = {5, static_cast<std::uint64_t>(i), 0, 0};
    if (adapted && i % 2 == 0) request.adapter = "policy";
    model.submit(std::move(request), [&count](const Result<Generation>& r) { count += r.has_value(); });
  }
  while (model.advance(std::chrono::milliseconds(0)) > 0) look();
  return count;
}

// In a process of its own: 0 if memory stays within the budget, and comes near it, so that there was something to bound.
int filled(const Checkpoint& checkpoint, const EngineOptions& options, bool adapted) {
  ::mallopt(M_ARENA_MAX, 1);  // an arena of a thread's own keeps memory that nobody uses
  const std::int64_t before = anonymous();
  const auto model = checkpoint.open(options);
  if (model == nullptr) return 1;
  std::int64_t most = 0;
  if (answered(*model, adapted, [&] { most = std::max(most, anonymous() - before); }) != kPrompts) return 2;
  if (most > options.memory_bytes + kBesides) return 3;
  return most < options.memory_bytes * 3 / 4 ? 4 : 0;
}

class MemoryDeathTest : public testing::TestWithParam<std::string> {};

TEST_P(MemoryDeathTest, AFullCacheStaysWithinTheBudget) {
  if (anonymous() == 0) GTEST_SKIP() << "no /proc";
  const Checkpoint checkpoint(shape());
  EngineOptions options{.threads = 2, .memory_bytes = kBudget, .precision = GetParam()};
  EXPECT_EXIT(::_exit(filled(checkpoint, options, false)), testing::ExitedWithCode(0), "");
}

// Large ones: 64 ranks of every matrix, as many as this model has itself.
TEST_P(MemoryDeathTest, AdaptersAreInTheBudget) {
  if (anonymous() == 0) GTEST_SKIP() << "no /proc";
  const Checkpoint checkpoint(shape());
  const Folder first, second;
  std::uint64_t seed = 1;
  for (const Folder* folder : {&first, &second}) {
    ASSERT_TRUE(save_peft(folder->path(), lora_test::random_adapter(lora_test::all_targets(64, 64), checkpoint.config, seed++), checkpoint.config));
  }
  EngineOptions options{.threads = 2, .memory_bytes = kBudget, .precision = GetParam()};
  options.adapters = {{"policy", first.path()}, {"other", second.path()}};
  EXPECT_EXIT(::_exit(filled(checkpoint, options, true)), testing::ExitedWithCode(0), "");
}

TEST(Memory, ABudgetBoundsTheCacheOrSaysWhatIsMissing) {
  const Checkpoint checkpoint(engine_test::pocket_shape());
  const Result<std::unique_ptr<Model>> tiny = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {.memory_bytes = kMiB});
  ASSERT_FALSE(tiny.has_value());
  EXPECT_EQ(tiny.error().kind, ErrorKind::kBadInput);
  EXPECT_NE(tiny.error().what.find("weights and activations take"), std::string::npos) << tiny.error().what;
  EXPECT_NE(tiny.error().hint.find("give it at least"), std::string::npos);
  const auto model = checkpoint.open({.threads = 1, .memory_bytes = 64 * kMiB});
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(answered(*model, false, [] {}), kPrompts);  // they wait, and all are answered
}

TEST(Memory, WhatTheHintSaysIsEnough) {
  LlamaConfig longer = shape();
  longer.max_position_embeddings = 131072;  // angles of all of them take 32 MiB
  const Checkpoint checkpoint(longer);
  EngineOptions options{.threads = 1, .memory_bytes = kMiB};
  const auto refused = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), options);
  ASSERT_FALSE(refused);
  const std::string words = "give it at least ";
  ASSERT_EQ(refused.error().hint.rfind(words, 0), 0U) << refused.error().hint;
  options.memory_bytes = std::stoll(refused.error().hint.substr(words.size())) * kMiB;
  EXPECT_NE(checkpoint.open(options), nullptr);
  options.memory_bytes -= 2 * kMiB;
  EXPECT_FALSE(precept_lm_api()->open_checkpoint(checkpoint.folder.path(), options)) << "nor is it too much";
}

INSTANTIATE_TEST_SUITE_P(Precision, MemoryDeathTest, testing::Values("fp32", "bf16"));

}  // namespace
}  // namespace precept
