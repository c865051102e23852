// Loss and gradient of the trainer against a plain double-precision model written here, against
// finite differences, and against themselves under other layouts of the batch.
#include <gtest/gtest.h>

#include <cmath>

#include "precept/core/rng.h"
#include "precept/lm/nn/head.h"
#include "precept/lm/nn/llama.h"
#include "precept/lm/train/adamw.h"
#include "tests/lm/flat_weights.h"
#include "tests/lm/train_reference.h"

namespace precept {
namespace {

using nn::Layout;
using nn::Pass;

LlamaConfig tiny(bool tied) {
  LlamaConfig config;
  config.vocab_size = 37;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.max_position_embeddings = 256;
  config.tie_word_embeddings = tied;
  return config;
}

nn::Floats random_weights(const Layout& layout, double spread = 0.3) {
  nn::Floats weights(layout.size);
  Rng rng({7, 0, 0, 0});
  for (const nn::Param& param : layout.params) {
    for (std::size_t i = 0; i < param.size(); ++i) {
      weights[param.offset + i] = float((param.cols ? 0.0 : 1.0) + spread * rng.normal());
    }
  }
  return weights;
}

TrainExample random_example(Rng& rng, int length, int vocab, double masked = 0.3) {
  TrainExample example;
  for (int i = 0; i < length; ++i) {
    example.tokens.push_back(std::int32_t(rng.below(std::uint64_t(vocab))));
    example.weights.push_back(rng.chance(masked) ? 0.0F : float(0.25 + rng.uniform()));
  }
  return example;
}

std::vector<TrainExample> random_examples(std::vector<int> lengths, int vocab) {
  Rng rng({8, 0, 0, 0});
  std::vector<TrainExample> examples;
  for (const int length : lengths) examples.push_back(random_example(rng, length, vocab));
  return examples;
}

std::vector<const TrainExample*> pointers(const std::vector<TrainExample>& examples) {
  std::vector<const TrainExample*> result;
  for (const TrainExample& example : examples) result.push_back(&example);
  return result;
}

double relative(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
    size += double(b[i]) * b[i];
  }
  return std::sqrt(difference / size);
}

std::vector<Variation> shapes() {
  std::vector<Variation> all = variations(tiny(true));
  all.push_back({"untied", tiny(false)});
  return all;
}

class TrainNumerics : public testing::TestWithParam<Variation> {};

TEST_P(TrainNumerics, LossIsThatOfAnIndependentModel) {
  const Layout layout(GetParam().config);
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  weights.pack(nn::kernels());
  Pass pass(layout, nn::kernels());
  for (const TrainExample& example : random_examples({2, 3, 17, 57, 130}, 37)) {
    const std::vector<double> expected = reference_logprobs(layout, weights.flat, example.tokens);
    const std::vector<float> got = pass.logprobs(weights, example);
    ASSERT_EQ(got.size(), expected.size());
    double loss = 0;
    double weight = 0;
    for (std::size_t i = 1; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 2e-4) << "token " << i;
      loss -= expected[i] * double(example.weights[i]);
      weight += double(example.weights[i]);
    }
    const nn::LossSum sum = pass.run(weights, {&example}, 1.0F, nullptr);
    EXPECT_NEAR(sum.loss, loss, 1e-4 * (1 + std::abs(loss)));
    EXPECT_NEAR(sum.weight, weight, 1e-6 * (1 + weight));
  }
}

TEST_P(TrainNumerics, GradientIsThatOfFiniteDifferencesInDouble) {
  const Layout layout(GetParam().config);
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  weights.pack(nn::kernels());
  Pass pass(layout, nn::kernels());
  const auto examples = random_examples({5, 19}, 37);
  std::vector<float> gradient(layout.size, 0.0F);
  pass.run(weights, pointers(examples), 0.5F, gradient.data());

  std::vector<double> exact(weights.flat.begin(), weights.flat.end());
  const auto loss = [&] {
    double sum = 0;
    for (const TrainExample& example : examples) {
      const auto logp = reference_logprobs(layout, exact, example.tokens);
      for (std::size_t i = 1; i < logp.size(); ++i) sum -= logp[i] * double(example.weights[i]);
    }
    return 0.5 * sum;
  };
  Rng rng({9, 0, 0, 0});
  for (const nn::Param& param : layout.params) {
    for (int n = 0; n < 6; ++n) {
      // Of the embedding, rows that occur.
      std::size_t i = param.offset + rng.below(param.size());
      if (n % 2 == 0 && param.name == "model.embed_tokens.weight") {
        i = std::size_t(examples[1].tokens[std::size_t(n)]) * 24 + rng.below(24);
      }
      const double kept = exact[i];
      exact[i] = kept + 1e-5;
      const double above = loss();
      exact[i] = kept - 1e-5;
      const double below = loss();
      exact[i] = kept;
      const double expected = (above - below) / 2e-5;
      EXPECT_NEAR(gradient[i], expected, 2e-4 * (1 + std::abs(expected))) << param.name << " element " << i - param.offset;
    }
  }
}

// Heads wider than a panel, several blocks of queries, one key/value head for all; windows within a block and beyond one.
class TrainLong : public testing::TestWithParam<int> {};

TEST_P(TrainLong, WideHeadsAndLongSequencesAreExactToo) {
  LlamaConfig config = tiny(true);
  if (GetParam() > 0) {
    config.architecture = Architecture::kMistral;
    config.sliding_window = GetParam();
  }
  config.head_dim = 40;
  config.num_attention_heads = 2;
  config.num_key_value_heads = 1;
  config.num_hidden_layers = 1;
  config.max_position_embeddings = 2048;
  const Layout layout(config);
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  weights.pack(nn::kernels());
  Pass pass(layout, nn::kernels());
  const auto examples = random_examples({2 * nn::kBlockRows + 67}, 37);
  const std::vector<double> expected = reference_logprobs(layout, weights.flat, examples[0].tokens);
  const std::vector<float> got = pass.logprobs(weights, examples[0]);
  for (std::size_t i = 1; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 2e-4) << "token " << i;

  std::vector<float> gradient(layout.size, 0.0F);
  pass.run(weights, pointers(examples), 0.01F, gradient.data());
  std::vector<double> exact(weights.flat.begin(), weights.flat.end());
  const auto loss = [&] {
    const auto logp = reference_logprobs(layout, exact, examples[0].tokens);
    double sum = 0;
    for (std::size_t i = 1; i < logp.size(); ++i) sum -= 0.01 * logp[i] * double(examples[0].weights[i]);
    return sum;
  };
  Rng rng({10, 0, 0, 0});
  for (const nn::Param& param : layout.params) {
    const std::size_t i = param.offset + rng.below(param.size());
    const double kept = exact[i];
    exact[i] = kept + 1e-5;
    const double above = loss();
    exact[i] = kept - 1e-5;
    const double slope = (above - loss()) / 2e-5;
    exact[i] = kept;
    EXPECT_NEAR(gradient[i], slope, 2e-4 * (1 + std::abs(slope))) << param.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Windows, TrainLong, testing::Values(0, 45, nn::kBlockRows + 31));

INSTANTIATE_TEST_SUITE_P(Shapes, TrainNumerics, testing::ValuesIn(shapes()), [](const auto& shape) { return shape.param.name; });

TEST(TrainBatch, PackingChangesNeitherALossNorAGradient) {
  const Layout layout(tiny(true));
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  weights.pack(nn::kernels());
  Pass pass(layout, nn::kernels());
  const auto examples = random_examples({3, 70, 1, 16, 120, 2, 33}, 37);
  std::vector<float> together(layout.size, 0.0F);
  const nn::LossSum sum = pass.run(weights, pointers(examples), 1.0F, together.data());
  std::vector<float> apart(layout.size, 0.0F);
  nn::LossSum parts;
  for (const TrainExample& example : examples) {
    const nn::LossSum part = pass.run(weights, {&example}, 1.0F, apart.data());
    parts.loss += part.loss;
    parts.weight += part.weight;
  }
  EXPECT_NEAR(sum.loss, parts.loss, 1e-9 * sum.loss);
  EXPECT_EQ(sum.weight, parts.weight);
  EXPECT_LT(relative(together, apart), 1e-5);
}

TEST(TrainBatch, ALogProbabilityHasTheSameBitsWhateverFollows) {
  const Layout layout(tiny(true));
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  weights.pack(nn::kernels());
  Pass pass(layout, nn::kernels());
  Rng rng({3, 0, 0, 0});
  const TrainExample whole = random_example(rng, 90, 37);
  const auto expected = pass.logprobs(weights, whole);
  for (const std::size_t length : {2, 15, 56, 57, 58, 89}) {
    TrainExample start{{whole.tokens.begin(), whole.tokens.begin() + std::ptrdiff_t(length)}, {}};
    const auto got = pass.logprobs(weights, start);
    for (std::size_t i = 0; i < length; ++i) EXPECT_EQ(got[i], expected[i]) << length << ", token " << i;
  }
}

TEST(TrainBatch, NothingToLearnIsNoLossAndNoGradient) {
  const Layout layout(tiny(true));
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  weights.pack(nn::kernels());
  Pass pass(layout, nn::kernels());
  const TrainExample masked{{1, 2, 3}, {1.0F, 0.0F, 0.0F}};
  const TrainExample one{{4}, {1.0F}};
  const TrainExample none;
  std::vector<float> gradient(layout.size, 0.0F);
  const nn::LossSum sum = pass.run(weights, {&masked, &one, &none}, 1.0F, gradient.data());
  EXPECT_EQ(sum.loss, 0.0);
  EXPECT_EQ(sum.weight, 0.0);
  for (const float g : gradient) ASSERT_EQ(g, 0.0F);
}

TEST(TrainKernels, EveryInstructionSetAgreesWithPlainCode) {
  const Layout layout(tiny(false));
  const auto examples = random_examples({5, 75, 31}, 37);
  std::vector<std::vector<float>> gradients;
  for (const nn::Kernels* kernels : {&nn::portable_kernels(), &nn::kernels()}) {
    FlatWeights weights(layout);
    weights.flat = random_weights(layout);
    weights.pack(*kernels);
    Pass pass(layout, *kernels);
    gradients.emplace_back(layout.size, 0.0F);
    pass.run(weights, pointers(examples), 1.0F, gradients.back().data());
  }
  EXPECT_LT(relative(gradients[0], gradients[1]), 1e-5);
}

// bf16 keeps 8 bits of a factor, an error of at most 2^-9 each. Logits here are up to 8, and some ten products lie before
// them: 8 * 2^-9 * sqrt(10) = 0.05 is what to expect of the worst, and three times that is not reached by chance.
TEST(TrainKernels, Bf16ProductsGiveNearlyTheSameLogProbabilities) {
  if (!nn::bf16_kernels()) GTEST_SKIP() << "this processor has no bf16 products";
  const Layout layout(tiny(false));
  FlatWeights weights(layout);
  weights.flat = random_weights(layout);
  for (float& w : weights.flat) w = round_to_bf16(w);
  weights.pack(*nn::bf16_kernels());
  Pass pass(layout, *nn::bf16_kernels());
  double most = 0;
  for (const TrainExample& example : random_examples({3, 57, 130}, 37)) {
    const std::vector<double> expected = reference_logprobs(layout, weights.flat, example.tokens);
    const std::vector<float> got = pass.logprobs(weights, example);
    for (std::size_t i = 1; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 0.15) << "token " << i;
      most = std::max(most, std::abs(got[i] - expected[i]));
    }
  }
  EXPECT_GT(most, 1e-4) << "these are not products of bf16";
}

// The error is made anew in each of those products on the way back from the loss too: a few per cent of the whole, without
// direction.
TEST(TrainKernels, Bf16ProductsGiveNearlyTheSameGradient) {
  if (!nn::bf16_kernels()) GTEST_SKIP() << "this processor has no bf16 products";
  const Layout layout(tiny(false));
  const auto examples = random_examples({5, 75, 31}, 37);
  std::vector<std::vector<float>> gradients;
  for (const nn::Kernels* kernels : {&nn::kernels(), nn::bf16_kernels()}) {
    FlatWeights weights(layout);
    weights.flat = random_weights(layout);
    for (float& w : weights.flat) w = round_to_bf16(w);
    weights.pack(*kernels);
    Pass pass(layout, *kernels);
    gradients.emplace_back(layout.size, 0.0F);
    pass.run(weights, pointers(examples), 1.0F, gradients.back().data());
  }
  EXPECT_LT(relative(gradients[1], gradients[0]), 5e-2);
  EXPECT_GT(relative(gradients[1], gradients[0]), 0.0);  // not the same table twice
}

void expect_exact_products(const nn::Kernels& k);

TEST(TrainKernels, ProductsOfAllShapesAreExactOnSmallIntegers) {
  expect_exact_products(nn::portable_kernels());
  expect_exact_products(nn::kernels());
  if (nn::bf16_kernels()) expect_exact_products(*nn::bf16_kernels());
}

void expect_exact_products(const nn::Kernels& k) {
  SCOPED_TRACE(k.name);
  Rng rng({4, 0, 0, 0});
  for (const auto& [m, n, depth] : std::vector<std::array<int, 3>>{{1, 1, 1}, {14, 32, 7}, {15, 33, 5}, {57, 70, 64}, {113, 31, 3}, {30, 65, 600}, {15, 40, 515}}) {
    std::vector<float> a(std::size_t(m) * depth), b(std::size_t(depth) * n), c(std::size_t(m) * n, 1.0F);
    for (float& x : a) x = float(rng.below(9)) - 4;
    for (float& x : b) x = float(rng.below(9)) - 4;
    std::vector<float> packed(nn::packed_size(std::size_t(depth), std::size_t(n)));
    for (const bool transposed : {false, true}) {
      // The same numbers read as A (m x depth) or as the transpose of a depth x m matrix.
      const std::size_t row = transposed ? 1 : std::size_t(depth);
      const std::size_t col = transposed ? std::size_t(m) : 1;
      for (const bool columns : {false, true}) {
        if (columns) {
          k.pack_cols(depth, n, b.data(), std::size_t(depth), packed.data());
        } else {
          k.pack_rows(depth, n, b.data(), std::size_t(n), packed.data());
        }
        std::fill(c.begin(), c.end(), 1.0F);
        k.gemm(m, n, depth, a.data(), row, col, packed.data(), c.data(), std::size_t(n), true);
        for (int i = 0; i < m; ++i) {
          for (int j = 0; j < n; ++j) {
            float expected = 1.0F;
            for (int x = 0; x < depth; ++x) {
              expected += a[i * row + x * col] * (columns ? b[std::size_t(j) * depth + x] : b[std::size_t(x) * n + j]);
            }
            ASSERT_EQ(c[std::size_t(i) * n + j], expected) << m << " x " << n << " x " << depth << " at " << i << ", " << j;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace precept
