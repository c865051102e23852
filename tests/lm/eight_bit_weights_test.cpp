// Matrices rounded to 8 bits: the model is the one whose weights are the rounded ones.

#include "tests/lm/engine_support.h"
#include "tests/lm/lora_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;

// Rounds every row of every matrix but the embeddings, as Matrix::quantise says: written a second time, plainly.
void round_rows(Checkpoint& checkpoint) {
  for (auto& [name, values] : checkpoint.tensors.values) {
    const auto& shape = checkpoint.tensors.shapes[name];
    if (shape.size() != 2 || name == "model.embed_tokens.weight") continue;
    const auto cols = static_cast<std::size_t>(shape[1]);
    for (std::size_t begin = 0; begin < values.size(); begin += cols) {
      double largest = 0;
      for (std::size_t i = begin; i < begin + cols; ++i) largest = std::max(largest, std::abs(static_cast<double>(values[i])));
      for (std::size_t i = begin; i < begin + cols && largest > 0; ++i) {
        values[i] = static_cast<float>(std::nearbyint(values[i] * 127 / largest) * largest / 127);
      }
    }
  }
}

Generation answer(Model& model) {
  GenerateRequest request;
  request.messages = {{"user", "tell me about the fox"}};
  request.sampling.max_tokens = 40;
  request.sampling.temperature = 0;
  request.logprobs = true;
  Generation generation;
  model.submit(std::move(request), [&](Result<Generation> r) {
    ASSERT_TRUE(r.has_value()) << r.error().message();
    generation = std::move(*r);
  });
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  return generation;
}

// fp32, so that nothing else is rounded; a row of zeros has no scale. 1e-4: sums in another order.
TEST(EightBitWeights, AreTheRoundedModel) {
  Checkpoint checkpoint(engine_test::odd_shape(), 5, false);
  auto& up = checkpoint.tensors.values["model.layers.0.mlp.up_proj.weight"];
  std::fill(up.begin(), up.begin() + 72, 0.0F);
  write_tensors(checkpoint.folder.path(), checkpoint.tensors, false);
  const Generation eight = answer(*checkpoint.open({.precision = "fp32", .weights = "int8"}));
  const Generation whole = answer(*checkpoint.open({.precision = "fp32"}));
  round_rows(checkpoint);
  write_tensors(checkpoint.folder.path(), checkpoint.tensors, false);
  const Generation rounded = answer(*checkpoint.open({.precision = "fp32"}));
  ASSERT_EQ(eight.tokens, rounded.tokens);
  double most = 0, from_whole = 0;
  for (std::size_t i = 0; i < rounded.logprobs.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(eight.logprobs[i]) - rounded.logprobs[i]));
    if (i < whole.logprobs.size()) from_whole = std::max(from_whole, std::abs(static_cast<double>(eight.logprobs[i]) - whole.logprobs[i]));
  }
  EXPECT_LT(most, 1e-4);
  EXPECT_GT(from_whole, 1e-4);  // and it is not the model as it was
}

TEST(EightBitWeights, AreAnotherModel) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 5);
  const engine_test::Folder policy;
  ASSERT_TRUE(save_peft(policy.path(), lora_test::random_adapter(lora_test::all_targets(4, 8), checkpoint.config, 1), checkpoint.config));
  EngineOptions options;
  options.adapters = {{"policy", policy.path()}};
  const ModelInfo whole = checkpoint.open(options)->info();
  options.weights = "int8";
  const ModelInfo eight = checkpoint.open(options)->info();
  EXPECT_NE(eight.digest, whole.digest);
  ASSERT_EQ(eight.adapters.size(), 2U);  // the base and the policy: whoever answers is another
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NE(eight.adapters[i].digest, whole.adapters[i].digest);
  const auto refused = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {.weights = "int4"});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::kBadInput);
}

}  // namespace
}  // namespace precept
