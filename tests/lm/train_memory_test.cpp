// What saves memory in a training pass changes no bit: activations that are computed again, one pass where an objective took two,
// examples that share a row. And the loss never holds all logits.
#include <gtest/gtest.h>

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <new>

#include "precept/core/rng.h"
#include "precept/lm/nn/head.h"
#include "precept/lm/nn/llama.h"
#include "precept/lm/train/adamw.h"
#include "precept/lm/train/cpu_trainer.h"
#include "precept/lm/train/forward.h"
#include "precept/lm/train/lora.h"
#include "precept/lm/train/objective.h"
#include "tests/lm/flat_weights.h"
#include "tests/lm/lora_support.h"
#include "tests/support/variations.h"

namespace precept {
namespace {

using Bits = std::vector<float>;

LlamaConfig small() {
  LlamaConfig config;
  config.vocab_size = 61;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 6;
  config.max_position_embeddings = 512;
  config.tie_word_embeddings = true;
  return config;
}

std::vector<TrainExample> random_examples(const std::vector<int>& lengths, std::uint64_t seed = 8) {
  Rng rng({seed, 0, 0, 0});
  std::vector<TrainExample> examples;
  for (const int length : lengths) {
    TrainExample example;
    for (int i = 0; i < length; ++i) {
      example.tokens.push_back(std::int32_t(rng.below(61)));
      example.weights.push_back(rng.chance(0.3) ? 0.0F : float(0.25 + rng.uniform()));
    }
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<const nn::Kernels*> tables() {
  std::vector<const nn::Kernels*> all{&nn::kernels()};
  if (nn::bf16_kernels()) all.push_back(nn::bf16_kernels());
  return all;
}

struct Model {
  Model(const LlamaConfig& config, const nn::Kernels& with) : layout(config), kernels(with), weights(layout) {
    Rng rng({7, 0, 0, 0});
    for (const nn::Param& param : layout.params) {
      for (std::size_t i = 0; i < param.size(); ++i) weights.flat[param.offset + i] = round_to_bf16(float((param.cols ? 0.0 : 1.0) + 0.3 * rng.normal()));
    }
    weights.pack(with);
  }
  Bits gradient(const std::vector<TrainExample>& examples, const nn::PassOptions& options, const nn::LoraWeights* lora = nullptr) const {
    Bits out(lora ? lora->flat.size() : layout.size, 0.0F);
    nn::Pass pass(layout, kernels, lora, options);
    pass.run(weights, pointers_to(random_examples({9, 30}, 3)), 0.5F, out.data());  // buffers hold something else first
    pass.run(weights, pointers_to(examples), 0.5F, out.data());
    return out;
  }
  nn::Layout layout;
  const nn::Kernels& kernels;
  FlatWeights weights;
};

bool same_bits(const Bits& a, const Bits& b) { return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0; }

TEST(ActivationCheckpointing, GivesTheSameBitsForEveryDecoder) {
  const auto examples = random_examples({5, 75, 31, 2 * nn::kBlockRows + 37, 2});
  for (const nn::Kernels* kernels : tables()) {
    for (const Variation& variation : variations(small())) {
      const Model model(variation.config, *kernels);
      const Bits kept = model.gradient(examples, {});
      EXPECT_TRUE(same_bits(kept, model.gradient(examples, {.recompute = true}))) << kernels->name << " " << variation.name;
      EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [](float g) { return g != 0.0F; }));
    }
  }
}

TEST(ActivationCheckpointing, GivesTheSameBitsWithAnAdapter) {
  const auto examples = random_examples({5, 75, 31});
  for (const nn::Kernels* kernels : tables()) {
    const Model model(small(), *kernels);
    const LoraConfig config = lora_test::all_targets(4, 8);
    const nn::LoraLayout layout(model.layout.config, *lora_targets(config, model.layout.config));
    nn::LoraWeights lora(layout, true);
    Rng rng({5, 0, 0, 0});
    for (float& value : lora.flat) value = float(0.2 * rng.normal());
    lora.pack(*kernels);
    EXPECT_TRUE(same_bits(model.gradient(examples, {}, &lora), model.gradient(examples, {.recompute = true}, &lora))) << kernels->name;
  }
}

// Panels as pack_cols makes them of whole matrices, and products with W the bits of those with the panels that pack_rows makes.
void expect_panels_of_whole_matrices(const nn::Weights& weights, const nn::Layout& layout, const std::vector<float>& values, const nn::Kernels& kernels) {
  const LlamaConfig& c = layout.config;
  const auto lanes = [&](int k) { return std::size_t(&kernels == nn::bf16_kernels() ? (k + 1) / 2 : k); };
  nn::Floats scratch;
  const auto same = [](const float* got, const nn::Floats& whole) { return std::memcmp(got, whole.data(), whole.size() * sizeof(float)) == 0; };
  const auto forward = [&](const char* name, const float* got, std::size_t offset, int rows, int cols) {
    nn::Floats whole(nn::packed_size(lanes(cols), std::size_t(rows)), 0.0F);
    kernels.pack_cols(cols, rows, values.data() + offset, std::size_t(cols), whole.data());
    EXPECT_TRUE(same(got, whole)) << name << " forwards";
  };
  const auto backward = [&](const char* name, std::size_t offset, int rows, int cols) {
    constexpr int kRows = 3;
    const auto n = std::size_t(cols), depth = std::size_t(rows);
    nn::Floats whole(nn::packed_size(lanes(rows), n), 0.0F), a(kRows * depth), expected(kRows * n), got(kRows * n, 0.5F);
    Rng rng({9, offset, 0, 0});
    for (float& value : a) value = float(rng.normal());
    kernels.pack_rows(rows, cols, values.data() + offset, n, whole.data());
    kernels.gemm(kRows, cols, rows, a.data(), depth, 1, whole.data(), expected.data(), n, false);
    weights.times(offset, kRows, a.data(), got.data(), scratch);
    EXPECT_TRUE(same(got.data(), expected)) << name << " backwards";
  };
  const auto both = [&](const char* name, std::size_t offset, int rows, int cols) {
    forward(name, weights.panels(offset), offset, rows, cols);
    backward(name, offset, rows, cols);
  };
  const int hidden = c.hidden_size, f = c.intermediate_size, queries = c.num_attention_heads * c.head_dim;
  for (const nn::Layout::Layer& layer : layout.layers) {
    both("q, k and v", layer.qkv, queries + 2 * c.num_key_value_heads * c.head_dim, hidden);
    both("out", layer.out, hidden, queries);
    forward("gate", weights.panels(layer.gate_up), layer.gate_up, f, hidden);
    forward("up", weights.panels_up(layer.gate_up), layer.gate_up + std::size_t(f) * std::size_t(hidden), f, hidden);
    backward("gate and up", layer.gate_up, 2 * f, hidden);
    both("down", layer.down, hidden, f);
  }
  both("head", layout.head, c.vocab_size, hidden);
  for (const nn::Param& param : layout.params) {
    if (param.cols != 0 && (param.offset != layout.embed || c.tie_word_embeddings)) continue;
    EXPECT_EQ(std::memcmp(weights.at(param.offset), values.data() + param.offset, param.size() * sizeof(float)), 0) << param.name;
  }
}

void expect_embeddings(const nn::Weights& weights, const nn::Layout& layout, const std::vector<float>& values) {
  const auto width = std::size_t(layout.config.hidden_size);
  nn::Floats row(width + 1, 0.5F);
  for (int token = 0; token < layout.config.vocab_size; ++token) {
    weights.embedding(token, row.data());
    ASSERT_EQ(std::memcmp(row.data(), values.data() + layout.embed + std::size_t(token) * width, width * sizeof(float)), 0) << token;
  }
  EXPECT_EQ(row[width], 0.5F) << "written beyond the row";
}

// Panels as if every matrix had been packed whole, gate and up each for itself where the engine reads them, and all that is read as
// it is.
TEST(WeightsByPieces, HaveThePanelsOfWholeMatrices) {
  std::vector<Variation> shapes = variations(small());
  const auto add = [&](const char* name, int hidden, int feed_forward, int vocabulary, bool tied) {
    shapes.push_back({name, small()});
    LlamaConfig& c = shapes.back().config;
    c.hidden_size = hidden;
    c.intermediate_size = feed_forward;
    c.vocab_size = vocabulary;
    c.tie_word_embeddings = tied;
  };
  add("untied", 24, 40, 61, false);
  add("odd", 25, 41, 61, true);  // gate ends in the middle of a pair of rows
  add("several_pieces", 160, 700, 1101, true);
  add("several_pieces_untied", 161, 701, 1100, false);
  add("several_sums", 34, 1120, 2500, true);  // of products with W, in bf16 too
  add("several_sums_odd", 33, 1101, 2501, false);
  for (const nn::Kernels* kernels : tables()) {
    for (const Variation& shape : shapes) {
      SCOPED_TRACE(std::string(kernels->name) + " " + shape.name);
      const Model model(shape.config, *kernels);
      nn::Weights weights(model.layout, *kernels, 3);
      std::vector<float> values(model.weights.flat.begin(), model.weights.flat.end());
      values.insert(values.end(), {1.5F, 2.5F, 3.5F});
      std::size_t next = 0;
      for (const nn::Weights::Piece& piece : weights.pieces()) {
        EXPECT_EQ(piece.begin, next) << "the pieces are all there is, in order";
        next = piece.end;
        weights.set(piece, values.data() + piece.begin);
      }
      EXPECT_EQ(next, values.size());
      EXPECT_EQ(weights.at(model.layout.size)[2], 3.5F);
      expect_panels_of_whole_matrices(weights, model.layout, values, *kernels);
      expect_embeddings(weights, model.layout, values);
    }
  }
}

// Frozen weights need not be bf16 where products are: their embeddings are still those that were set, in pieces that packing rounds and in
// others, and those of later weights then.
TEST(WeightsByPieces, HaveTheEmbeddingsThatWereSet) {
  for (const nn::Kernels* kernels : tables()) {
    for (const bool tied : {true, false}) {
      SCOPED_TRACE(std::string(kernels->name) + (tied ? " tied" : " untied"));
      LlamaConfig config = small();
      config.hidden_size = 161;
      config.vocab_size = 1101;  // three pieces
      config.tie_word_embeddings = tied;
      const Model model(config, *kernels);
      const std::vector<float> rounded(model.weights.flat.begin(), model.weights.flat.end());
      std::vector<float> first = rounded, last = rounded;
      first[5] = 1.0001F;
      first[7] = -0.0F;
      last[std::size_t(1100) * 161 + 160] = 1e-39F;  // products take it for 0
      nn::Weights weights(model.layout, *kernels);
      for (const std::vector<float>& values : {rounded, first, last, rounded}) {
        for (const nn::Weights::Piece& piece : weights.pieces()) weights.set(piece, values.data() + piece.begin);
        expect_embeddings(weights, model.layout, values);
      }
    }
  }
}

// One gradient of the derivatives of an objective, by two passes and by one. Some derivatives are 0, of one example all.
TEST(Objective, InOnePassGivesTheBitsOfTwo) {
  for (const nn::Kernels* kernels : tables()) {
    const Model model(small(), *kernels);
    auto examples = random_examples({40, 130, 31, 2, 90});
    for (TrainExample& example : examples) {
      for (float& weight : example.weights) weight = weight != 0.0F ? 1.0F : 0.0F;
    }
    const auto derivative = [](std::size_t example, float logp) { return example == 2 || logp < -6.0F ? 0.0F : std::exp(0.1F * logp); };
    nn::Pass two(model.layout, *kernels);
    Bits expected(model.layout.size, 0.0F);
    two.run(model.weights, pointers_to(examples), 1.0F, nullptr);
    const Bits logps = two.picked_logprobs();
    auto weighted = examples;
    std::size_t next = 0, zeros = 0;
    for (std::size_t e = 0; e < weighted.size(); ++e) {
      for (std::size_t i = 1; i < weighted[e].weights.size(); ++i) {
        if (weighted[e].weights[i] == 0.0F) continue;
        weighted[e].weights[i] = derivative(e, logps[next++]);
        zeros += weighted[e].weights[i] == 0.0F;
      }
    }
    EXPECT_GT(zeros, 0U);
    two.run(model.weights, pointers_to(weighted), 1.0F, expected.data());
    for (const bool recompute : {false, true}) {
      nn::Pass one(model.layout, *kernels, nullptr, {.recompute = recompute});
      Bits got(model.layout.size, 0.0F);
      one.run_objective(
          model.weights, pointers_to(examples),
          [&](std::span<const float> logp, std::span<float> weight) {
            std::size_t at = 0;
            for (std::size_t e = 0; e < examples.size(); ++e) {
              for (std::size_t i = 1; i < examples[e].weights.size(); ++i) {
                if (examples[e].weights[i] != 0.0F) weight[at] = derivative(e, logp[at]), ++at;
              }
            }
          },
          got.data());
      EXPECT_TRUE(same_bits(got, expected)) << kernels->name << recompute;
      EXPECT_EQ(one.picked_logprobs(), logps) << kernels->name;
    }
  }
}

// Several examples in one row of positions: each one's log-probabilities have the bits that it has alone, whatever lies beside it.
TEST(Packing, ExamplesInOneRowDoNotSeeEachOther) {
  for (const nn::Kernels* kernels : tables()) {
    for (const Variation& variation : variations(small())) {
      const Model model(variation.config, *kernels);
      nn::Pass pass(model.layout, *kernels);
      const auto examples = random_examples({17, 64, 3, 90});
      pass.run(model.weights, pointers_to(examples), 1.0F, nullptr);
      const Bits together = pass.picked_logprobs();
      Bits apart;
      for (const TrainExample& example : examples) {
        pass.run(model.weights, {&example}, 1.0F, nullptr);
        apart.insert(apart.end(), pass.picked_logprobs().begin(), pass.picked_logprobs().end());
      }
      EXPECT_TRUE(same_bits(together, apart)) << kernels->name << " " << variation.name;
    }
  }
}

// The loss by blocks of rows is that of all logits at once: its bits forwards; backwards the head's sums run in another order.
TEST(Loss, ByBlocksOfRowsIsThatOfAllLogits) {
  const Model model(small(), nn::kernels());
  const auto examples = random_examples({300, 120});
  nn::Pass blocks(model.layout, model.kernels, nullptr, {.loss_rows = 7}), all(model.layout, model.kernels, nullptr, {.full_logits = true});
  const nn::LossSum a = blocks.run(model.weights, pointers_to(examples), 1.0F, nullptr), b = all.run(model.weights, pointers_to(examples), 1.0F, nullptr);
  EXPECT_EQ(blocks.picked_logprobs(), all.picked_logprobs());
  EXPECT_EQ(a.loss, b.loss);
  const Bits one = model.gradient(examples, {.loss_rows = 7}), other = model.gradient(examples, {.full_logits = true});
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    difference += (double(one[i]) - other[i]) * (double(one[i]) - other[i]);
    size += double(other[i]) * other[i];
  }
  EXPECT_LT(std::sqrt(difference / size), 1e-5);
}

// A batch is summed over chunks and lanes: however many threads and whatever is kept, the same bits; and up to rounding the gradient of
// all examples at once.
TEST(Accumulation, ThreadsAndCheckpointingChangeNoBit) {
  const nn::Layout layout(small());
  const auto examples = random_examples({200, 150, 100, 300, 250, 60, 10, 90, 400, 33, 500, 450, 280, 170, 310});
  Model model(small(), nn::kernels());
  std::vector<Bits> updated;
  for (const auto& [threads, recompute] : {std::pair{1, false}, {2, false}, {3, true}, {4, false}, {7, true}}) {
    TrainOptions options;
    options.precision = "fp32";
    options.activation_checkpointing = recompute;
    CpuTrainer trainer(options, layout, nullptr, threads);
    AdamW optimizer;
    optimizer.master.assign(model.weights.flat.begin(), model.weights.flat.end());
    optimizer.mean.assign(layout.size, 0.0F);
    optimizer.square.assign(layout.size, 0.0F);
    trainer.take(optimizer.master);
    trainer.rehearse(500);
    for (int step = 0; step < 2; ++step) {
      trainer.gradient(pointers_to(examples), 1e-3F);
      trainer.update(optimizer, 1e-3, 1.0);
    }
    updated.push_back(optimizer.master);
    if (updated.size() == 1) {
      trainer.take({model.weights.flat.begin(), model.weights.flat.end()});
      trainer.gradient(pointers_to(examples), 1.0F);
      Bits whole(layout.size, 0.0F);
      nn::Pass(layout, nn::kernels()).run(model.weights, pointers_to(examples), 1.0F, whole.data());
      double squares = 0;
      for (const float g : whole) squares += double(g) * g;
      EXPECT_NEAR(trainer.gradient_norm() / std::sqrt(squares), 1.0, 1e-5);
    }
  }
  for (const Bits& other : updated) EXPECT_TRUE(same_bits(other, updated.front()));
}

// The gradient of a batch, as a first step of AdamW without averages leaves it in `mean`; and how many of its size are held.
struct Summed {
  Bits gradient;
  int held;
};
Summed summed(const Model& model, const std::vector<TrainExample>& examples, int lanes, int threads) {
  TrainOptions options;
  options.precision = "fp32";
  options.lanes = lanes;
  CpuTrainer trainer(options, model.layout, nullptr, threads);
  AdamW optimizer;
  optimizer.beta1 = optimizer.beta2 = 0;
  optimizer.master.assign(model.weights.flat.begin(), model.weights.flat.end());
  optimizer.mean.assign(model.layout.size, 0.0F);
  optimizer.square.assign(model.layout.size, 0.0F);
  trainer.take(optimizer.master);
  trainer.rehearse(500);
  trainer.gradient(pointers_to(examples), 1.0F);
  trainer.update(optimizer, 1e-3, 1.0);
  return {optimizer.mean, trainer.gradients()};
}

// However many lanes there are, threads change no bit, and no more gradients are held than those at work and their sum. Another number
// of lanes is another order of the same sum.
TEST(Lanes, DecideTheOrderOfSumsAndTheMemoryThatTheyTake) {
  const Model model(small(), nn::kernels());
  const auto examples = random_examples({200, 150, 100, 300, 250, 60, 10, 90, 400, 33, 500, 450, 280, 170, 310});
  const Bits four = summed(model, examples, 4, 1).gradient;
  for (const int lanes : {1, 2, 3, 8}) {
    const Bits one = summed(model, examples, lanes, 1).gradient;
    for (const int threads : {1, 2, 3}) {
      const Summed again = summed(model, examples, lanes, threads);
      EXPECT_TRUE(same_bits(again.gradient, one)) << lanes << " lanes, " << threads << " threads";
      EXPECT_EQ(again.held, std::min(lanes, threads + 1)) << lanes << " lanes, " << threads << " threads";
    }
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
      difference += (double(one[i]) - four[i]) * (double(one[i]) - four[i]);
      size += double(four[i]) * four[i];
    }
    EXPECT_LT(std::sqrt(difference / size), 1e-5) << lanes;
    EXPECT_GT(difference, 0) << lanes << " lanes sum as four do";
  }
}

// Forwards nothing is summed over sequences.
TEST(FrozenModel, ThreadsChangeNoBit) {
  const nn::Layout layout(small());
  const Model model(small(), nn::kernels());
  Bits flat(model.weights.flat.begin(), model.weights.flat.end());
  for (int i = 0; i < small().hidden_size; ++i) flat.push_back(0.01F * float(i - 7));
  const auto examples = random_examples({200, 150, 100, 300, 250, 60, 10, 90, 400, 33, 500});
  FrozenModel one(layout, nn::kernels(), flat, 1);
  const auto logprobs = one.logprobs(examples);
  const auto values = one.values(examples);
  EXPECT_EQ(std::count(values.begin(), values.end(), 0.0), 0);
  for (const int threads : {2, 7}) {
    FrozenModel other(layout, nn::kernels(), flat, threads);
    EXPECT_EQ(other.logprobs(examples), logprobs) << threads;
    EXPECT_EQ(other.values(examples), values) << threads;
  }
}

// --- memory fails at once or never ---

std::size_t address_space() {
  std::ifstream status("/proc/self/statm");
  std::size_t pages = 0;
  status >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void allow(std::size_t more) {
  const rlimit limit{address_space() + more, RLIM_INFINITY};
  ::setrlimit(RLIMIT_AS, &limit);
}

constexpr std::size_t kMuch = std::size_t{1} << 30;

// In a process of its own: 0 if memory that is too little is found out before the first step, and memory that suffices then
// suffices for the longest batch.
int limited(int lanes, int threads, std::size_t before, std::size_t after, int longest = 3000) {
  ::mallopt(M_ARENA_MAX, 1);  // an arena of a thread's own has memory in reserve, which the limit would not see
  const nn::Layout layout(small());
  TrainOptions options;
  options.precision = "fp32";
  options.lanes = lanes;
  CpuTrainer trainer(options, layout, nullptr, threads);
  trainer.take(std::vector<float>(layout.size, 0.01F));
  const auto examples = random_examples({20, longest, longest, 900, 700, 10});
  allow(before);
  try {
    trainer.rehearse(std::size_t(longest));
  } catch (const std::bad_alloc&) {
    return 1;
  }
  allow(after);
  try {
    trainer.gradient(pointers_to(examples), 1.0F);
  } catch (const std::bad_alloc&) {
    return 2;
  }
  return 0;
}

TEST(RehearsalDeathTest, FindsOutAtOnceOrNever) {
  if (!std::ifstream("/proc/self/statm")) GTEST_SKIP() << "no /proc";
  constexpr std::size_t kLittle = std::size_t{8} << 20;
  EXPECT_EXIT(::_exit(limited(4, 1, kLittle, kMuch)), testing::ExitedWithCode(1), "");  // what 3,000 tokens keep takes 7.6 MB, more lies beside it
  EXPECT_EXIT(::_exit(limited(4, 1, kMuch, kLittle / 10)), testing::ExitedWithCode(0), "");
  // Two threads are at work on the longest at once; of one lane, one.
  for (const int lanes : {2, 1}) EXPECT_EXIT(::_exit(limited(lanes, 2, kMuch, kLittle / 10)), testing::ExitedWithCode(0), "") << lanes;
}

TEST(RehearsalDeathTest, ALongRowHoldsNoSquareOfItsLength) {
  if (!std::ifstream("/proc/self/statm")) GTEST_SKIP() << "no /proc";
  EXPECT_EXIT(::_exit(limited(4, 1, std::size_t{64} << 20, kMuch, 6000)), testing::ExitedWithCode(0), "");  // one of floats takes 144 MB
}

}  // namespace
}  // namespace precept
