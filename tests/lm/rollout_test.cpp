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
#include "tests/support/variations.h"

namespace precept {
namespace {

using engine_test::Checkpoint;

std::vector<Generation> rollouts(const Checkpoint& checkpoint, const std::string& precision, const std::vector<std::string>& prompts) {
  const auto model = checkpoint.open({.threads = 2, .precision = precision});
  std::vector<Generation> answers(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    GenerateRequest request;
    request.messages = {{"user", prompts[i]}};
    request.sampling.max_tokens = 50;
    request.key = {3, i, 0, 0};
    request.logprobs = true;
    model->submit(request, [&answers, i](Result<Generation> r) { answers[i] = std::move(*r); });
  }
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  return answers;
}

void expect_equal(const LlamaConfig& config, const std::string& precision) {
  SCOPED_TRACE(precision);
  const nn::Kernels& kernels = precision == "bf16" ? *nn::bf16_kernels() : nn::kernels();
  const Checkpoint checkpoint(config, 3);
  const std::vector<std::string> prompts = {"tell me about the fox", "is it kind, and is it an animal that tells a story about the fox?", "q"};
  const std::vector<Generation> answers = rollouts(checkpoint, precision, prompts);

  const nn::Layout layout(config);
  const Result<std::vector<float>> flat = load_weights(checkpoint.folder.path(), layout);
  ASSERT_TRUE(flat.has_value()) << flat.error().message();
  FlatWeights weights(layout);
  std::copy(flat->begin(), flat->end(), weights.flat.begin());
  weights.pack(kernels);
  nn::Pass pass(layout, kernels);
  const Tokenizer tokenizer = engine_test::small_tokenizer();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    TrainExample example;
    example.tokens = *ChatFormat::pocket(tokenizer).render(tokenizer, {{"user", prompts[i]}}, true);
    const std::size_t prompt = example.tokens.size();
    example.tokens.insert(example.tokens.end(), answers[i].tokens.begin(), answers[i].tokens.end());
    example.weights.assign(example.tokens.size(), 1.0F);
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

}  // namespace
}  // namespace precept
