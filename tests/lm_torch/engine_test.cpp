// The engine on libtorch against the engine on the CPU.

#include "precept/lm/nn/row_kernels.h"
#include "tests/lm/lora_support.h"
#include "tests/lm_torch/support.h"
#include "tests/support/variations.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using engine_test::Folder;
using torch_test::Answers;
using torch_test::devices;
using torch_test::expect_close;
using torch_test::kBf16Tolerance;
using torch_test::kTolerance;
using torch_test::run;

void expect_like_the_cpu(const Checkpoint& checkpoint, std::size_t g, std::size_t s, const std::vector<AdapterSource>& sources = {},
                         const std::vector<std::string>& adapters = {""}) {
  for (const std::string precision : {"fp32", "bf16"}) {
    const bool exact = precision == "fp32";
    const auto cpu = checkpoint.open({.threads = 1, .precision = precision, .adapters = sources});
    ASSERT_NE(cpu, nullptr);
    const Answers expected = run(*cpu, g, s, true, adapters);
    for (const std::string& device : devices()) {
      const auto model = checkpoint.open({.threads = 1, .device = device, .precision = precision, .adapters = sources});
      ASSERT_NE(model, nullptr);
      const double tolerance = exact ? kTolerance : kBf16Tolerance;
      expect_close(expected, run(*model, g, s, true, adapters), tolerance, exact, device + ", " + precision);
      expect_close(expected, run(*model, g, s, true, adapters), tolerance, exact, device + ", a warm cache, " + precision);
    }
  }
}

class TorchVariations : public testing::TestWithParam<Variation> {};
TEST_P(TorchVariations, LikeTheCpu) { expect_like_the_cpu(Checkpoint(GetParam().config, 3), 6, 2); }
INSTANTIATE_TEST_SUITE_P(OddShape, TorchVariations, testing::ValuesIn(variations(engine_test::odd_shape())),
                         [](const auto& shape) { return shape.param.name; });

TEST(TorchEngine, Fp32CheckpointLikeTheCpu) { expect_like_the_cpu(Checkpoint(engine_test::odd_shape(), 4, false), 6, 2); }
TEST(TorchEngine, PocketShapeLikeTheCpu) { expect_like_the_cpu(Checkpoint(engine_test::pocket_shape(), 4), 8, 3); }

// The base and two adapters in one batch, and an adapter of some modules only.
TEST(TorchEngine, AdaptersLikeTheCpu) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 11);
  const Folder policy, judge;
  LoraConfig some = lora_test::all_targets(40, 20);
  some.target_pattern.clear();
  some.target_modules = {"k_proj", "up_proj", "down_proj"};
  ASSERT_TRUE(save_peft(policy.path(), lora_test::random_adapter(lora_test::all_targets(5, 10), checkpoint.config, 1), checkpoint.config));
  ASSERT_TRUE(save_peft(judge.path(), lora_test::random_adapter(some, checkpoint.config, 2), checkpoint.config));
  expect_like_the_cpu(checkpoint, 12, 6, {{"policy", policy.path()}, {"judge", judge.path()}}, {"policy", "", "judge"});
}

// Requests alone, in company, with a warm and with a scarce cache; prompts are cut where steps end.
TEST(TorchEngine, CompanyAndCacheChangeRoundingOnly) {
  LlamaConfig config = engine_test::odd_shape();
  config.sliding_window = 23;
  config.slides = {true, false, true};
  config.num_hidden_layers = 3;
  const Checkpoint checkpoint(config, 11);
  constexpr std::size_t kGenerate = 24, kScore = 6;
  for (const std::string& device : devices()) {
    const EngineOptions usual{.threads = 1, .device = device, .precision = "fp32"};
    const auto one = checkpoint.open(usual), many = checkpoint.open(usual);
    const Answers alone = run(*one, kGenerate, kScore, false), together = run(*many, kGenerate, kScore);
    expect_close(alone, together, kTolerance, true, device + ", together");
    const Answers warm = run(*many, kGenerate, kScore);
    expect_close(alone, warm, kTolerance, true, device + ", warm");
    EXPECT_GT(warm.cached, together.cached);
    const std::int64_t block = std::int64_t{nn::kBlockTokens} * 2 * config.num_key_value_heads * config.head_dim * 4 * config.num_hidden_layers;
    EngineOptions tight = usual;
    tight.cache_bytes = 50 * block;
    expect_close(alone, run(*checkpoint.open(tight), kGenerate, kScore), kTolerance, true, device + ", little memory");
    EngineOptions seven = usual;
    seven.max_batch = 7;
    expect_close(alone, run(*checkpoint.open(seven), kGenerate, kScore), kTolerance, true, device + ", batch of 7");
  }
}

// Long answers of one shape: the first decode step of a shape runs plainly, the second is captured, the others are replayed.
TEST(TorchCuda, ReplayedGraphsAnswerLikeTheCpu) {
  if (devices().size() == 1) GTEST_SKIP() << "no CUDA device here: every comparison of this program ran on torch-cpu alone";
  const Checkpoint checkpoint(engine_test::pocket_shape(), 4);
  const auto ask = [&](Model& model) {
    std::vector<Generation> answers(16);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      GenerateRequest request = torch_test::generate_request(i);
      request.sampling.max_tokens = 150;
      model.submit(std::move(request), [&answers, i](Result<Generation> r) { answers[i] = std::move(*r); });
    }
    while (model.advance(std::chrono::milliseconds(0)) > 0) {
    }
    return Answers{std::move(answers), {}};
  };
  const Answers expected = ask(*checkpoint.open({.threads = 1, .precision = "fp32"}));
  const auto model = checkpoint.open({.threads = 1, .device = "cuda", .precision = "fp32"});
  ASSERT_NE(model, nullptr);
  for (const char* time : {"captured", "replayed"}) expect_close(expected, ask(*model), kTolerance, true, time);
}

// Many sequences of very different lengths, so that decoding pads some steps and groups others.
TEST(TorchEngine, LongAndShortTogether) {
  const Checkpoint checkpoint(engine_test::shape_of(32, 2, 4, 2, 8, 40, true, 4096), 2);
  const auto ask = [&](const std::string& device) {
    const auto model = checkpoint.open({.threads = 1, .max_batch = 128, .device = device, .precision = "fp32"});
    std::vector<Generation> answers(70);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      GenerateRequest request = torch_test::generate_request(i);
      request.messages = {{"user", torch_test::words(i, i % 10 == 3 ? 900 : 2 + static_cast<int>(i % 5))}};
      request.sampling.max_tokens = 12;
      model->submit(std::move(request), [&answers, i](Result<Generation> r) { answers[i] = std::move(*r); });
    }
    while (model->advance(std::chrono::milliseconds(0)) > 0) {
    }
    return Answers{std::move(answers), {}};
  };
  const Answers expected = ask("cpu");
  for (const std::string& device : devices()) expect_close(expected, ask(device), kTolerance, true, device);
}

// All logits are the same: greedy takes the lowest id, and top-p keeps the lowest ids.
TEST(TorchEngine, TiesGoToTheLowestId) {
  Checkpoint checkpoint(engine_test::odd_shape(), 3);
  std::fill(checkpoint.tensors.values["lm_head.weight"].begin(), checkpoint.tensors.values["lm_head.weight"].end(), 0.0F);
  engine_test::write_tensors(checkpoint.folder.path(), checkpoint.tensors);
  std::vector<std::string> all = devices();
  all.insert(all.begin(), "cpu");
  std::vector<std::vector<std::int32_t>> sampled;
  for (const std::string& device : all) {
    SCOPED_TRACE(device);
    const auto model = checkpoint.open({.threads = 1, .device = device});
    ASSERT_NE(model, nullptr);
    std::vector<std::int32_t>& own = sampled.emplace_back();
    for (std::uint64_t i = 0; i < 40; ++i) {
      GenerateRequest request = torch_test::generate_request(i);
      request.sampling.max_tokens = 1;
      request.sampling.temperature = i == 0 ? 0 : 0.5;
      request.sampling.top_p = i % 2 == 0 ? 0.05 : 1.0;
      model->submit(request, [&own](Result<Generation> r) { own.push_back(r->tokens[0]); });
      while (model->advance(std::chrono::milliseconds(0)) > 0) {
      }
    }
    EXPECT_EQ(own[0], 0);
    const int kept = static_cast<int>(std::ceil(0.05 * checkpoint.config.vocab_size));
    for (std::size_t i = 0; i < own.size(); i += 2) EXPECT_LT(own[i], kept);
    EXPECT_EQ(own, sampled[0]) << "the same draws";
  }
}

std::string refusal(const Checkpoint& checkpoint, const EngineOptions& options) {
  const auto model = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), options);
  return model ? "(accepted)" : model.error().message() + " | " + model.error().hint;
}

TEST(TorchEngine, BudgetsAreKept) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const std::string few = refusal(checkpoint, {.threads = 1, .device = "torch-cpu", .memory_bytes = 1 << 20});
  EXPECT_NE(few.find("1 MB of memory are too few: weights and activations take"), std::string::npos) << few;
  const auto model = checkpoint.open({.threads = 1, .device = "torch-cpu", .cache_bytes = 1});
  std::optional<Error> error;
  model->submit(torch_test::generate_request(1), [&](Result<Generation> r) { error = r.error(); });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_TRUE(error.has_value());
  EXPECT_NE(error->what.find("cache holds 16"), std::string::npos) << error->what;
}

TEST(TorchEngine, BenchMeasuresTheDevicesOwnRoofs) {
  for (const std::string& device : devices()) {
    BenchOptions options;
    options.shape = "pocket";
    options.threads = 1;
    options.device = device;
    options.sequences = {3};
    options.prompts = {8};
    options.tokens = 4;
    options.prefill = 16;
    const auto report = precept_lm_api()->bench_engine(options, {});
    ASSERT_TRUE(report.has_value()) << report.error().message();
    EXPECT_EQ(report->kernels, device);
    EXPECT_GT(report->roof.gemm_gflops, 0);
    EXPECT_GT(report->roof.memory_gbps, 0);
    ASSERT_EQ(report->decode.size(), 1U);
    EXPECT_EQ(report->decode[0].sequences, 3);
    EXPECT_GT(report->prefill_tokens_per_s, 0);
  }
}

// An adapter whose outputs are not finite fails alone: neither requests beside it, nor those that get its blocks later, see
// its keys and values.
TEST(TorchEngine, WhatIsNotFiniteStaysAlone) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 11);
  const Folder folder;
  PeftAdapter adapter = lora_test::random_adapter(lora_test::all_targets(5, 10), checkpoint.config, 1);
  for (LoraPair& pair : adapter.pairs) {
    for (float& v : pair.b) v *= 1e38F;
  }
  ASSERT_TRUE(save_peft(folder.path(), adapter, checkpoint.config));
  const std::vector<AdapterSource> sources = {{"broken", folder.path()}};
  constexpr std::size_t kGenerate = 8;
  const Answers expected = run(*checkpoint.open({.threads = 1, .precision = "fp32"}), kGenerate, 0);
  for (const std::string& device : devices()) {
    SCOPED_TRACE(device);
    const std::int64_t block =
        std::int64_t{nn::kBlockTokens} * 2 * checkpoint.config.num_key_value_heads * checkpoint.config.head_dim * 4 * checkpoint.config.num_hidden_layers;
    const auto model = checkpoint.open({.threads = 1, .device = device, .cache_bytes = 30 * block, .precision = "fp32", .adapters = sources});
    ASSERT_NE(model, nullptr);
    for (int twice = 0; twice < 2; ++twice) {
      int broken = 0;
      for (std::uint64_t i = 0; i < 12; ++i) {
        GenerateRequest request = torch_test::generate_request(i);
        request.adapter = "broken";
        model->submit(std::move(request), [&broken](Result<Generation> r) {
          ASSERT_FALSE(r.has_value());
          EXPECT_NE(r.error().what.find("not finite"), std::string::npos) << r.error().what;
          ++broken;
        });
      }
      expect_close(expected, run(*model, kGenerate, 0), kTolerance, true, "beside and after the broken one");
      EXPECT_EQ(broken, 12);
    }
  }
}

}  // namespace
}  // namespace precept
