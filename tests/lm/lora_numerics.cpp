// Loss and gradient of adapters in the trainer: against a plain double-precision model whose weights are W + s B A,
// against finite differences, and against the gradient of the whole matrix.
#include <gtest/gtest.h>

#include <cmath>

#include "precept/lm/nn/llama.h"
#include "precept/lm/train/adamw.h"
#include "precept/lm/train/lora.h"
#include "tests/lm/flat_weights.h"
#include "tests/lm/lora_support.h"
#include "tests/lm/train_reference.h"

namespace precept {
namespace {

using lora_test::adapted;
using lora_test::flat_of;
using nn::Layout;
using nn::LoraLayout;
using nn::LoraWeights;
using nn::Pass;

LlamaConfig tiny(bool tied = true) {
  LlamaConfig config;
  config.vocab_size = 37;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 8;  // queries are wider than the stream
  config.max_position_embeddings = 256;
  config.tie_word_embeddings = tied;
  return config;
}

std::vector<TrainExample> random_examples(const std::vector<int>& lengths) {
  Rng rng({8, 0, 0, 0});
  std::vector<TrainExample> examples;
  for (const int length : lengths) {
    TrainExample example;
    for (int i = 0; i < length; ++i) {
      example.tokens.push_back(std::int32_t(rng.below(37)));
      example.weights.push_back(rng.chance(0.3) ? 0.0F : float(0.25 + rng.uniform()));
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<const TrainExample*> pointers(const std::vector<TrainExample>& examples) {
  std::vector<const TrainExample*> result;
  for (const TrainExample& example : examples) result.push_back(&example);
  return result;
}

double relative(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
    size += double(b[i]) * b[i];
  }
  return std::sqrt(difference / size);
}

// A base with an adapter, ready to run.
struct Case {
  Case(const LlamaConfig& config, const LoraConfig& lora_config, const nn::Kernels& with, double b_spread = 0.3)
      : kernels(with), layout(config), weights(layout), targets(*lora_targets(lora_config, config)), lora(config, targets), pairs(lora, true) {
    Rng rng({7, 0, 0, 0});
    for (const nn::Param& param : layout.params) {
      for (std::size_t i = 0; i < param.size(); ++i) weights.flat[param.offset + i] = float((param.cols ? 0.0 : 1.0) + 0.3 * rng.normal());
    }
    weights.pack(kernels);
    const auto flat = flat_of(lora_test::random_adapter(lora_config, config, 5, b_spread), lora);
    std::copy(flat.begin(), flat.end(), pairs.flat.begin());
    pairs.pack(kernels);
  }
  std::vector<double> exact_pairs() const { return {pairs.flat.begin(), pairs.flat.end()}; }
  std::vector<double> exact(const std::vector<double>& of) const { return adapted(layout, weights.flat, targets, lora, of); }

  const nn::Kernels& kernels;
  Layout layout;
  FlatWeights weights;
  std::vector<LoraTarget> targets;
  LoraLayout lora;
  LoraWeights pairs;
};

// Ranks and scales that differ from module to module.
LoraConfig uneven() {
  LoraConfig config = lora_test::all_targets(3, 6);
  config.rank_pattern = {{"k_proj", 1}, {"down_proj", 7}};
  config.alpha_pattern = {{"layers.1.mlp.up_proj", 1.5}};
  return config;
}

std::vector<Variation> shapes() {
  std::vector<Variation> all = variations(tiny());
  all.push_back({"untied", tiny(false)});
  return all;
}

class LoraNumerics : public testing::TestWithParam<Variation> {};

TEST_P(LoraNumerics, LogProbabilitiesAreThoseOfTheWeightsWithTheProductAdded) {
  const Case c(GetParam().config, uneven(), nn::kernels());
  Pass pass(c.layout, c.kernels, &c.pairs), base(c.layout, c.kernels);
  const std::vector<double> exact = c.exact(c.exact_pairs());
  double moved = 0;
  for (const TrainExample& example : random_examples({2, 17, 130})) {
    const auto expected = reference_logprobs(c.layout, exact, example.tokens);
    const auto got = pass.logprobs(c.weights, example), without = base.logprobs(c.weights, example);
    for (std::size_t i = 1; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 2e-4) << "token " << i;
      moved = std::max(moved, std::abs(double(got[i]) - without[i]));
    }
  }
  EXPECT_GT(moved, 0.1) << "the adapter does nothing";
}

TEST_P(LoraNumerics, GradientsOfAAndBAreThoseOfFiniteDifferencesInDouble) {
  const Case c(GetParam().config, uneven(), nn::kernels());
  Pass pass(c.layout, c.kernels, &c.pairs);
  const auto examples = random_examples({5, 19});
  std::vector<float> gradient(c.lora.size, 0.0F);
  pass.run(c.weights, pointers(examples), 0.5F, gradient.data());

  std::vector<double> pairs = c.exact_pairs();
  const auto loss = [&] {
    const std::vector<double> exact = c.exact(pairs);
    double sum = 0;
    for (const TrainExample& example : examples) {
      const auto logp = reference_logprobs(c.layout, exact, example.tokens);
      for (std::size_t i = 1; i < logp.size(); ++i) sum -= logp[i] * double(example.weights[i]);
    }
    return 0.5 * sum;
  };
  Rng rng({9, 0, 0, 0});
  const auto check = [&](std::size_t i, const std::string& what) {
    const double kept = pairs[i];
    pairs[i] = kept + 1e-5;
    const double above = loss();
    pairs[i] = kept - 1e-5;
    const double below = loss();
    pairs[i] = kept;
    const double expected = (above - below) / 2e-5;
    EXPECT_NEAR(gradient[i], expected, 2e-4 * (1 + std::abs(expected))) << what;
  };
  for (const LoraLayout::Module& m : c.lora.modules) {
    for (int n = 0; n < 3; ++n) {
      check(m.a + rng.below(std::uint64_t(m.rank) * std::uint64_t(m.in)), m.name + " A");
      check(m.b + rng.below(std::uint64_t(m.rank) * std::uint64_t(m.out)), m.name + " B");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LoraNumerics, testing::ValuesIn(shapes()), [](const auto& shape) { return shape.param.name; });

// dB = s dW A^T and dA = s B^T dW, where dW is the gradient of the merged matrix; ranks beyond a panel of the products,
// and more tokens than one of their tiles.
TEST(LoraGradient, IsThatOfTheWholeMatrixTimesTheOtherFactor) {
  for (const int rank : {1, 16, 45}) {
    const Case c(tiny(), lora_test::all_targets(rank, 8), nn::kernels(), 0.1);
    const auto examples = random_examples({120, 75, 31});
    std::vector<float> got(c.lora.size, 0.0F), expected(c.lora.size), whole(c.layout.size, 0.0F);
    Pass(c.layout, c.kernels, &c.pairs).run(c.weights, pointers(examples), 1.0F, got.data());
    FlatWeights merged(c.layout);
    const std::vector<double> exact = c.exact(c.exact_pairs());
    std::copy(exact.begin(), exact.end(), merged.flat.begin());
    merged.pack(c.kernels);
    Pass(c.layout, c.kernels).run(merged, pointers(examples), 1.0F, whole.data());
    for (std::size_t i = 0; i < c.targets.size(); ++i) {
      const LoraLayout::Module& m = c.lora.modules[i];
      const float* dw = nullptr;
      for (const nn::Param& param : c.layout.params) {
        if (param.name == m.name + ".weight") dw = whole.data() + param.offset;
      }
      ASSERT_NE(dw, nullptr);
      const float *a = c.pairs.flat.data() + m.a, *b = c.pairs.flat.data() + m.b;
      for (int k = 0; k < m.rank; ++k) {
        for (int r = 0; r < m.out; ++r) {
          double db = 0;
          for (int j = 0; j < m.in; ++j) db += double(dw[r * m.in + j]) * a[k * m.in + j];
          expected[m.b + std::size_t(r * m.rank + k)] = float(c.targets[i].scale * db);
        }
        for (int j = 0; j < m.in; ++j) {
          double da = 0;
          for (int r = 0; r < m.out; ++r) da += double(dw[r * m.in + j]) * b[r * m.rank + k];
          expected[m.a + std::size_t(k * m.in + j)] = float(c.targets[i].scale * da);
        }
      }
    }
    EXPECT_LT(relative(got, expected), 2e-5) << "rank " << rank;
  }
}

TEST(LoraGradient, ZeroBLeavesTheBasesBitsAndMovesBAlone) {
  LoraConfig config = uneven();
  const Case c(tiny(), config, nn::kernels(), 0.0);
  Pass pass(c.layout, c.kernels, &c.pairs), base(c.layout, c.kernels);
  const auto examples = random_examples({40, 9});
  for (const TrainExample& example : examples) EXPECT_EQ(pass.logprobs(c.weights, example), base.logprobs(c.weights, example));
  std::vector<float> gradient(c.lora.size, 0.0F);
  pass.run(c.weights, pointers(examples), 1.0F, gradient.data());
  for (const LoraLayout::Module& m : c.lora.modules) {
    for (std::size_t i = 0; i < std::size_t(m.rank) * std::size_t(m.in); ++i) ASSERT_EQ(gradient[m.a + i], 0.0F) << m.name;
    double squares = 0;
    for (std::size_t i = 0; i < std::size_t(m.rank) * std::size_t(m.out); ++i) squares += double(gradient[m.b + i]) * gradient[m.b + i];
    EXPECT_GT(squares, 0) << m.name;
  }
}

// As for whole weights (train_numerics.cpp): a few per cent where weights and adapters are bf16 themselves.
TEST(LoraGradient, Bf16ProductsGiveNearlyTheSame) {
  if (!nn::bf16_kernels()) GTEST_SKIP() << "this processor has no bf16 products";
  const auto examples = random_examples({5, 75, 31});
  std::vector<std::vector<float>> gradients;
  for (const nn::Kernels* kernels : {&nn::kernels(), nn::bf16_kernels()}) {
    Case c(tiny(false), uneven(), *kernels, 0.1);
    for (float& w : c.weights.flat) w = round_to_bf16(w);
    for (float& w : c.pairs.flat) w = round_to_bf16(w);
    c.weights.pack(*kernels);
    c.pairs.pack(*kernels);
    gradients.emplace_back(c.lora.size, 0.0F);
    Pass(c.layout, *kernels, &c.pairs).run(c.weights, pointers(examples), 1.0F, gradients.back().data());
  }
  EXPECT_LT(relative(gradients[1], gradients[0]), 5e-2);
  EXPECT_GT(relative(gradients[1], gradients[0]), 0.0);
}

// PEFT's start: A uniform in +-1 / sqrt(in), whose variance is 1 / (3 in); B zero.
TEST(LoraStart, IsPefts) {
  const LlamaConfig config = tiny();
  const LoraLayout lora(config, *lora_targets(lora_test::all_targets(32, 1), config));
  const std::vector<float> flat = initial_lora(lora, 1);
  EXPECT_EQ(flat, initial_lora(lora, 1));
  EXPECT_NE(flat, initial_lora(lora, 2));
  for (const LoraLayout::Module& m : lora.modules) {
    const double bound = 1 / std::sqrt(double(m.in));
    const std::size_t size = std::size_t(m.rank) * std::size_t(m.in);
    double squares = 0, most = 0, sum = 0;
    for (std::size_t i = 0; i < size; ++i) {
      most = std::max(most, std::abs(double(flat[m.a + i])));
      squares += double(flat[m.a + i]) * flat[m.a + i];
      sum += double(flat[m.a + i]);
    }
    EXPECT_LE(most, bound * 1.000001) << m.name;
    EXPECT_GT(most, 0.98 * bound) << m.name;
    EXPECT_NEAR(squares / double(size) * 3 * m.in, 1, 0.15) << m.name;
    EXPECT_NEAR(sum / double(size), 0, 0.1 * bound) << m.name;
    for (std::size_t i = 0; i < std::size_t(m.rank) * std::size_t(m.out); ++i) ASSERT_EQ(flat[m.b + i], 0.0F);
  }
}

}  // namespace
}  // namespace precept
