// A request's bits do not depend on its company, on the cache, on cuts, or on threads.

#include <optional>

#include "precept/lm/nn/row_kernels.h"
#include "tests/lm/engine_support.h"
#include "tests/lm/lora_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;

std::string words(std::uint64_t item, int count) {
  Rng rng({9, item, 0, 0});
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += std::vector<std::string>{" the", " fox", " story", "zq", " is", "?", " yes"}[rng.below(7)];
  }
  return text;
}

GenerateRequest generate_request(std::uint64_t item) {
  GenerateRequest request;
  // Two of three share a beginning that is longer than several blocks.
  const std::string shared = item % 3 == 0 ? "" : words(77, 60);
  request.messages = {{"system", shared + "."}, {"user", words(item, 3 + static_cast<int>(item * 37 % 150))}};
  request.sampling.max_tokens = 5 + static_cast<int>(item % 20);
  request.sampling.temperature = item % 4 == 0 ? 0.0 : 0.8;
  request.sampling.top_p = item % 2 == 0 ? 1.0 : 0.9;
  request.key = {5, item, 1, 2};
  request.logprobs = true;
  return request;
}

ScoreRequest score_request(std::uint64_t item) {
  ScoreRequest request;
  request.messages = {{"user", words(77, 60) + words(item, 10 + static_cast<int>(item))}};
  for (std::uint64_t q = 0; q < 5; ++q) {
    request.questions.push_back({words(100 + q, 2 + static_cast<int>(q * 9)), {" yes", "n", words(q, 4), words(q, 6)}});
  }
  return request;
}

// Which adapter answers request `item`; "": the base.
using Adapters = std::vector<std::string>;
std::string adapter_of(const Adapters& adapters, std::uint64_t item) {
  return adapters.empty() ? "" : adapters[item % adapters.size()];
}

struct Answers {
  std::vector<Generation> generations;
  std::vector<Scores> scores;
};

// Runs generate requests 0..g-1 and score requests 0..s-1 on one model; `together` of them at a time.
Answers run(Model& model, std::size_t g, std::size_t s, std::size_t together, const Adapters& adapters = {}) {
  Answers answers;
  answers.generations.resize(g);
  answers.scores.resize(s);
  for (std::size_t from = 0; from < std::max(g, s); from += together) {
    for (std::size_t i = from; i < from + together; ++i) {
      if (i < s) {
        ScoreRequest request = score_request(i);
        request.adapter = adapter_of(adapters, i);
        model.submit(std::move(request), [&answers, i](Result<Scores> r) {
          ASSERT_TRUE(r.has_value()) << r.error().message();
          answers.scores[i] = std::move(*r);
        });
      }
      if (i < g) {
        GenerateRequest request = generate_request(i);
        request.adapter = adapter_of(adapters, i);
        model.submit(std::move(request), [&answers, i](Result<Generation> r) {
          ASSERT_TRUE(r.has_value()) << r.error().message();
          answers.generations[i] = std::move(*r);
        });
      }
    }
    while (model.advance(std::chrono::milliseconds(0)) > 0) {
    }
  }
  return answers;
}

void expect_same(const Answers& a, const Answers& b, const std::string& how) {
  SCOPED_TRACE(how);
  for (std::size_t i = 0; i < a.generations.size(); ++i) {
    EXPECT_EQ(a.generations[i].tokens, b.generations[i].tokens) << "request " << i;
    EXPECT_EQ(a.generations[i].logprobs, b.generations[i].logprobs) << "request " << i;
    EXPECT_EQ(a.generations[i].text, b.generations[i].text) << "request " << i;
  }
  for (std::size_t i = 0; i < a.scores.size(); ++i) {
    EXPECT_EQ(a.scores[i].logprobs, b.scores[i].logprobs) << "score request " << i;
  }
}

// `sources` are in every model; request i is answered by one of `adapters`.
void expect_invariant(const Checkpoint& checkpoint, const std::string& precision, const std::vector<AdapterSource>& sources,
                      const Adapters& adapters, const std::string& weights = "auto") {
  const LlamaConfig& config = checkpoint.config;
  const auto open = [&](EngineOptions options) {
    options.adapters = sources;
    options.precision = precision;
    options.weights = weights;
    return checkpoint.open(options);
  };
  constexpr std::size_t kGenerate = 24, kScore = 6;
  Answers alone;
  for (std::size_t i = 0; i < kGenerate; ++i) {  // a fresh, cold model for each
    const auto model = open({.threads = 1, .max_batch = 1});
    std::optional<Generation> answer;
    GenerateRequest request = generate_request(i);
    request.adapter = adapter_of(adapters, i);
    model->submit(std::move(request), [&](Result<Generation> r) { answer = std::move(*r); });
    while (model->advance(std::chrono::milliseconds(0)) > 0) {
    }
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->usage.cached_tokens, 0);
    alone.generations.push_back(std::move(*answer));
  }
  for (std::size_t i = 0; i < kScore; ++i) {  // a model for each question and option
    alone.scores.emplace_back();
    const ScoreRequest whole = score_request(i);
    for (const ScoreQuestion& question : whole.questions) {
      alone.scores.back().logprobs.emplace_back();
      for (const std::string& option : question.options) {
        const auto model = open({.threads = 1, .max_batch = 1});
        ScoreRequest one = whole;
        one.adapter = adapter_of(adapters, i);
        one.questions = {{question.tail, {option}}};
        model->submit(one, [&](Result<Scores> r) { alone.scores.back().logprobs.back().push_back(r->logprobs[0][0]); });
        while (model->advance(std::chrono::milliseconds(0)) > 0) {
        }
      }
    }
  }
  for (const int threads : {1, 2, 3}) {
    const auto model = open({.threads = threads, .max_batch = 64});
    expect_same(alone, run(*model, kGenerate, kScore, 100, adapters), "together, threads " + std::to_string(threads));
    const Answers warm = run(*model, kGenerate, kScore, 100, adapters);
    expect_same(alone, warm, "with a warm cache");
    EXPECT_GT(warm.generations[1].usage.cached_tokens, 32);
  }
  const auto seven = open({.threads = 2, .max_batch = 7});
  expect_same(alone, run(*seven, kGenerate, kScore, 100, adapters), "batch of 7");
  const auto few = open({.threads = 2, .max_batch = 64});
  expect_same(alone, run(*few, kGenerate, kScore, 5, adapters), "five at a time");
  const auto mapped = open({.threads = 2, .max_batch = 64, .pack_bytes = 0});
  expect_same(alone, run(*mapped, kGenerate, kScore, 100, adapters), "weights read where they lie");
  // 50 blocks: requests wait for memory, blocks are dropped, and score trees are cut into parts.
  const nn::KvShape shape(precision == "bf16" ? nn::Precision::kBf16 : nn::Precision::kFp32, config.num_hidden_layers, config.num_key_value_heads,
                          config.head_dim);
  const auto block = static_cast<std::int64_t>(shape.block_lanes() * sizeof(nn::Lane));
  const auto tight = open({.threads = 2, .max_batch = 64, .cache_bytes = 50 * block});
  expect_same(alone, run(*tight, kGenerate, kScore, 100, adapters), "little memory, " + precision);
}

void expect_invariant(const Checkpoint& checkpoint, const std::vector<AdapterSource>& sources = {}, const Adapters& adapters = {}) {
  for (const std::string precision : {"fp32", "bf16"}) expect_invariant(checkpoint, precision, sources, adapters);
}

TEST(EngineInvariance, PocketShape) { expect_invariant(Checkpoint(engine_test::shape_of(192, 6, 6, 6, 32, 512, true), 11)); }
TEST(EngineInvariance, OddShape) { expect_invariant(Checkpoint(engine_test::odd_shape(), 11)); }

TEST(EngineInvariance, WindowsBiasesAndNormsOfHeads) {
  LlamaConfig config = engine_test::odd_shape();
  config.architecture = Architecture::kQwen3;
  config.qk_norm = config.qkv_bias = config.out_bias = true;
  config.sliding_window = 23;
  config.slides = {true, false, true};
  expect_invariant(Checkpoint(config, 11));
}

TEST(EngineInvariance, EightBitWeights) {
  expect_invariant(Checkpoint(engine_test::odd_shape(), 11), "bf16", {}, {}, "int8");
}

// The base and two adapters, one with a rank beyond a panel of the products, in one batch.
TEST(EngineInvariance, Adapters) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 11);
  const engine_test::Folder policy, judge;
  LoraConfig some = lora_test::all_targets(40, 20);
  some.target_pattern.clear();
  some.target_modules = {"k_proj", "down_proj"};
  ASSERT_TRUE(save_peft(policy.path(), lora_test::random_adapter(lora_test::all_targets(5, 10), checkpoint.config, 1), checkpoint.config));
  ASSERT_TRUE(save_peft(judge.path(), lora_test::random_adapter(some, checkpoint.config, 2), checkpoint.config));
  expect_invariant(checkpoint, {{"policy", policy.path()}, {"judge", judge.path()}}, {"policy", "judge", ""});
}

void expect_long_pasts_invariant(const LlamaConfig& config) {
  const Checkpoint checkpoint(config, 11);
  const engine_test::Folder policy;
  ASSERT_TRUE(save_peft(policy.path(), lora_test::random_adapter(lora_test::all_targets(5, 10), checkpoint.config, 1), checkpoint.config));
  const std::vector<AdapterSource> sources{{"policy", policy.path()}};
  const auto answers = [&](const std::string& precision, int threads, int together) {
    EngineOptions options;
    options.threads = threads;
    options.precision = precision;
    options.adapters = sources;
    const auto model = checkpoint.open(options);
    std::vector<Generation> out(3);
    for (std::size_t i = 0; i < out.size(); ++i) {
      GenerateRequest request;
      request.messages = {{"user", words(i, 700 + 200 * static_cast<int>(i))}};
      request.sampling.max_tokens = 20;
      request.key = {5, i, 1, 2};
      request.logprobs = true;
      request.adapter = i == 1 ? "policy" : "";
      model->submit(request, [&out, i](Result<Generation> r) {
        ASSERT_TRUE(r.has_value()) << r.error().message();
        EXPECT_GT(r->usage.prompt_tokens, 600) << i;
        out[i] = std::move(*r);
      });
      if (static_cast<int>(i) % together + 1 < together && i + 1 < out.size()) continue;
      while (model->advance(std::chrono::milliseconds(0)) > 0) {
      }
    }
    return Answers{out, {}};
  };
  for (const std::string precision : {"fp32", "bf16"}) {
    const Answers alone = answers(precision, 1, 1);  // one thread shares nothing
    for (const int threads : {2, 3}) {
      for (const int together : {1, 2, 3}) {
        expect_same(alone, answers(precision, threads, together), precision + ", threads " + std::to_string(threads) + ", together " + std::to_string(together));
      }
    }
  }
}

// Few sequences with long pasts: threads share each head's attention, part by part.
TEST(EngineInvariance, LongPasts) {
  LlamaConfig config = engine_test::shape_of(72, 3, 6, 2, 40, 101, false, 2048);
  config.sliding_window = 600;
  config.slides = {true, false, false};
  expect_long_pasts_invariant(config);
}

TEST(EngineInvariance, LongPastsWithBiasesAndNormsOfHeads) {
  LlamaConfig config = engine_test::shape_of(72, 2, 6, 2, 40, 101, false, 2048);
  config.architecture = Architecture::kQwen3;
  config.qk_norm = config.qkv_bias = config.out_bias = true;
  expect_long_pasts_invariant(config);
}

TEST(EngineInvariance, SharedPromptInFlightIsComputedOnce) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto model = checkpoint.open();
  std::int64_t prompt = 0, cached = 0;
  for (int i = 0; i < 10; ++i) {
    GenerateRequest request = generate_request(3);
    request.messages[0].content = words(1, 100);
    model->submit(request, [&](Result<Generation> r) {
      prompt += r->usage.prompt_tokens;
      cached += r->usage.cached_tokens;
    });
  }
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  EXPECT_GT(cached, prompt * 8 / 10);
}

// Each beginning shares one token more with the one before it than that does with its own: if parts of blocks that are yet to be
// computed were waited for, each request would wait for the one before it.
TEST(EngineInvariance, BeginningsThatPartWithinABlockAreComputedTogether) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto model = checkpoint.open();
  int answered = 0;
  for (std::uint64_t i = 0; i < 10; ++i) {
    GenerateRequest request;
    request.raw = true;
    std::string text;
    for (std::uint64_t k = 0; k < i; ++k) text += " yes";
    request.messages = {{"user", text + " fox" + words(200 + i, 30)}};
    request.sampling.max_tokens = 1;
    model->submit(request, [&](const Result<Generation>& r) { answered += r.has_value(); });
  }
  int steps = 1;
  while (model->advance(std::chrono::milliseconds(0)) > 0) ++steps;
  EXPECT_EQ(answered, 10);
  EXPECT_LE(steps, 3);
}

TEST(EngineLimits, PromptLongerThanContextFailsAlone) {
  const Checkpoint checkpoint(engine_test::shape_of(32, 1, 2, 2, 16, 32, true, 64));
  const auto model = checkpoint.open();
  GenerateRequest longer = generate_request(1), fits = generate_request(0);
  fits.messages = {{"user", "tell"}};
  fits.sampling.max_tokens = 1000000;
  fits.sampling.temperature = 1;
  std::optional<Error> error;
  std::optional<Generation> answer;
  model->submit(longer, [&](Result<Generation> r) { error = r.error(); });
  model->submit(fits, [&](Result<Generation> r) { answer = std::move(*r); });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind, ErrorKind::kBadInput);
  EXPECT_NE(error->what.find("context holds 64"), std::string::npos) << error->what;
  ASSERT_TRUE(answer.has_value());
  EXPECT_LE(answer->usage.prompt_tokens + answer->usage.output_tokens, 64);
}

TEST(EngineLimits, CacheTooSmallForARequestSaysSo) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto model = checkpoint.open({.cache_bytes = 1});
  std::optional<Error> error, score_error;
  model->submit(generate_request(1), [&](Result<Generation> r) { error = r.error(); });
  model->submit(score_request(1), [&](Result<Scores> r) { score_error = r.error(); });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_TRUE(error && score_error);
  EXPECT_NE(error->what.find("cache holds 16"), std::string::npos) << error->what;
}

TEST(EngineLimits, OptionsWithoutTokensScoreZero) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto model = checkpoint.open();
  for (int twice = 0; twice < 2; ++twice) {
    ScoreRequest request;
    request.messages = {{"user", words(4, 40)}};
    request.questions = {{"", {"", ""}}};
    std::optional<Scores> scores;
    model->submit(request, [&](Result<Scores> r) { scores = std::move(*r); });
    while (model->advance(std::chrono::milliseconds(0)) > 0) {
    }
    ASSERT_TRUE(scores.has_value());
    EXPECT_EQ(scores->logprobs[0], std::vector<double>({0.0, 0.0}));
  }
}

}  // namespace
}  // namespace precept
