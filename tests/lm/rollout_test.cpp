// The trainer's forward pass gives the log-probs of the rollout that produced the tokens, to the bit: so importance ratios
// of the first step are exactly 1.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "precept/lm/nn/llama.h"
#include "precept/lm/train/state.h"
#include "precept/text/chat_format.h"
#include "tests/lm/engine_support.h"
#include "tests/lm/flat_weights.h"
#include "tests/lm/lora_support.h"
#include "tests/support/variations.h"

namespace precept {
namespace {

using engine_test::Checkpoint;

std::vector<Generation> rollouts(const Checkpoint& checkpoint, const EngineOptions& options, const std::vector<std::string>& prompts) {
  const auto model = checkpoint.open(options);
  std::vector<Generation> answers(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    GenerateRequest request;
    request.messages = {{"user", prompts[i]}};
    request.sampling.max_tokens = 50;
    request.key = {3, i, 0, 0};
    request.logprobs = true;
    if (!options.adapters.empty()) request.adapter = options.adapters[0].name;
    model->submit(request, [&answers, i](Result<Generation> r) {
      ASSERT_TRUE(r.has_value()) << r.error().message();
      answers[i] = std::move(*r);
    });
  }
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  return answers;
}

// What the trainer makes of a rollout: the answer's tokens follow the first `prompt` ones.
TrainExample example_of(const std::string& text, const Generation& answer, std::size_t& prompt) {
  const Tokenizer tokenizer = engine_test::small_tokenizer();
  TrainExample example;
  example.tokens = *ChatFormat::pocket(tokenizer).render(tokenizer, {{"user", text}}, true);
  prompt = example.tokens.size();
  example.tokens.insert(example.tokens.end(), answer.tokens.begin(), answer.tokens.end());
  example.weights.assign(example.tokens.size(), 1.0F);
  return example;
}

void take_weights(const Checkpoint& checkpoint, FlatWeights& weights, const nn::Kernels& kernels) {
  const Result<std::vector<float>> flat = load_weights(checkpoint.folder.path(), weights.layout);
  ASSERT_TRUE(flat.has_value()) << flat.error().message();
  std::copy(flat->begin(), flat->end(), weights.flat.begin());
  weights.pack(kernels);
}

void expect_equal(const LlamaConfig& config, const std::string& precision) {
  SCOPED_TRACE(precision);
  const nn::Kernels& kernels = precision == "bf16" ? *nn::bf16_kernels() : nn::kernels();
  const Checkpoint checkpoint(config, 3);
  const std::vector<std::string> prompts = {"tell me about the fox", "is it kind, and is it an animal that tells a story about the fox?", "q"};
  const std::vector<Generation> answers = rollouts(checkpoint, {.threads = 2, .precision = precision}, prompts);

  const nn::Layout layout(config);
  FlatWeights weights(layout);
  take_weights(checkpoint, weights, kernels);
  nn::Pass pass(layout, kernels);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::size_t prompt = 0;
    const TrainExample example = example_of(prompts[i], answers[i], prompt);
    const std::vector<float> logprobs = pass.logprobs(weights, example);
    ASSERT_FALSE(answers[i].logprobs.empty());
    const std::vector<float> trained(logprobs.begin() + static_cast<std::ptrdiff_t>(prompt), logprobs.end());
    EXPECT_EQ(trained, answers[i].logprobs) << "prompt " << i;
  }
}

void expect_equal(const LlamaConfig& config) {
  expect_equal(config, "fp32");
  if (nn::bf16_kernels() != nullptr) expect_equal(config, "bf16");
}

TEST(Rollout, PocketShapeHasTheTrainersBits) { expect_equal(engine_test::pocket_shape()); }
TEST(Rollout, OddShapeHasTheTrainersBits) { expect_equal(engine_test::odd_shape()); }
TEST(Rollout, WideHeadsHaveTheTrainersBits) { expect_equal(engine_test::shape_of(64, 2, 4, 2, 128, 96, true)); }

class RolloutVariations : public testing::TestWithParam<Variation> {};
TEST_P(RolloutVariations, HaveTheTrainersBits) { expect_equal(GetParam().config); }
INSTANTIATE_TEST_SUITE_P(OddShape, RolloutVariations, testing::ValuesIn(variations(engine_test::odd_shape())),
                         [](const auto& shape) { return shape.param.name; });

// Pasts of more than one part of attention, and prompts of more rows than a step has, which the trainer does not cut. The answer to the
// second prompt begins in one part and ends in the next.
void expect_equal_when_long(LlamaConfig config, const std::string& precision, bool adapted) {
  SCOPED_TRACE(precision + (adapted ? ", an adapter" : ""));
  config.max_position_embeddings = 2048;
  const nn::Kernels& kernels = precision == "bf16" ? *nn::bf16_kernels() : nn::kernels();
  const Checkpoint checkpoint(config, 3);
  const Tokenizer tokenizer = engine_test::small_tokenizer();
  std::vector<std::string> prompts;
  for (const std::size_t tokens : {700U, 1000U, 1300U}) {
    Rng rng({9, tokens, 0, 0});
    std::string text = "q";
    while (ChatFormat::pocket(tokenizer).render(tokenizer, {{"user", text}}, true)->size() < tokens) {
      text += std::vector<std::string>{" the", " fox", " story", " is", "?", " yes"}[rng.below(6)];
    }
    prompts.push_back(text);
  }
  LoraConfig lora = lora_test::all_targets(5, 10);
  lora.rank_pattern = {{"v_proj", 1}, {"down_proj", 37}};
  const PeftAdapter adapter = lora_test::random_adapter(lora, config, 7);
  const engine_test::Folder folder;
  EngineOptions options{.threads = 2, .precision = precision};
  if (adapted) {
    ASSERT_TRUE(save_peft(folder.path(), adapter, config));
    options.adapters = {{"policy", folder.path()}};
  }
  const std::vector<Generation> answers = rollouts(checkpoint, options, prompts);

  const nn::Layout layout(config);
  FlatWeights weights(layout);
  take_weights(checkpoint, weights, kernels);
  const nn::LoraLayout pairs(config, *lora_targets(lora, config));
  nn::LoraWeights low_rank(pairs, false);
  const std::vector<float> flat = lora_test::flat_of(adapter, pairs);
  std::copy(flat.begin(), flat.end(), low_rank.flat.begin());
  low_rank.pack(kernels);
  nn::Pass pass(layout, kernels, adapted ? &low_rank : nullptr);
  std::vector<TrainExample> examples;
  std::vector<float> expected;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    std::size_t prompt = 0;
    examples.push_back(example_of(prompts[i], answers[i], prompt));
    EXPECT_EQ(static_cast<std::int64_t>(prompt), answers[i].usage.prompt_tokens);
    EXPECT_GE(prompt, 700U);
    ASSERT_FALSE(answers[i].logprobs.empty());
    expected.insert(expected.end(), answers[i].logprobs.begin(), answers[i].logprobs.end());
    const std::vector<float> logprobs = pass.logprobs(weights, examples.back());
    EXPECT_EQ(std::vector<float>(logprobs.begin() + static_cast<std::ptrdiff_t>(prompt), logprobs.end()), answers[i].logprobs) << "prompt " << i;
    std::fill_n(examples.back().weights.begin(), prompt, 0.0F);
  }
  // As a batch has them: end to end in one row.
  pass.run(weights, {&examples[0], &examples[1], &examples[2]}, 1.0F, nullptr);
  EXPECT_EQ(pass.picked_logprobs(), expected);
}

void expect_equal_when_long(const LlamaConfig& config) {
  for (const bool adapted : {false, true}) {
    expect_equal_when_long(config, "fp32", adapted);
    if (nn::bf16_kernels() != nullptr) expect_equal_when_long(config, "bf16", adapted);
  }
}

TEST(LongRollout, HasTheTrainersBits) { expect_equal_when_long(engine_test::odd_shape()); }
// Where a window begins, so does the first part, in the middle of 512 positions.
TEST(LongRollout, HasTheTrainersBitsWithASlidingWindow) {
  LlamaConfig config = engine_test::odd_shape();
  config.architecture = Architecture::kQwen2;
  config.qkv_bias = true;
  config.sliding_window = 600;
  config.slides = {true, false, true};
  expect_equal_when_long(config);
}

}  // namespace
}  // namespace precept
