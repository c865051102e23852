// Adapters in the engine: against a plain model in double whose weights are W + s B A, against the merged checkpoint, and
// beside one another.

#include <cstring>
#include <optional>

#include "tests/lm/engine_support.h"
#include "tests/lm/lora_support.h"
#include "tests/lm/train_reference.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using engine_test::Folder;

std::unique_ptr<Model> open_folder(const std::string& folder, const EngineOptions& options = {.precision = "fp32"}) {
  Result<std::unique_ptr<Model>> model = precept_lm_api()->open_checkpoint(folder, options);
  EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message());
  return model ? std::move(*model) : nullptr;
}

std::string refusal(const std::string& folder, const EngineOptions& options = {.precision = "fp32"}) {
  const auto model = precept_lm_api()->open_checkpoint(folder, options);
  return model ? "(accepted)" : model.error().message();
}

GenerateRequest fox(const std::string& adapter = "") {
  GenerateRequest request;
  request.messages = {{"user", "tell me about the fox, please: it is kind"}};
  request.sampling.max_tokens = 30;
  request.sampling.temperature = 0;
  request.logprobs = true;
  request.adapter = adapter;
  return request;
}

ScoreRequest questions(const std::string& adapter = "") {
  ScoreRequest request;
  request.messages = {{"user", "tell me a story about the fox and about the animal that is kind to it"}};
  request.questions = {{" is it kind", {" yes", "n", " yes and more"}}, {" is it an animal", {"q", " yes"}}, {"", {"what is it"}}};
  request.adapter = adapter;
  return request;
}

Generation answer(Model& model, const GenerateRequest& request) {
  std::optional<Generation> got;
  model.submit(request, [&](Result<Generation> r) {
    ASSERT_TRUE(r.has_value()) << r.error().message();
    got = std::move(*r);
  });
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  EXPECT_TRUE(got.has_value());
  return got.value_or(Generation());
}

std::vector<double> scores(Model& model, const ScoreRequest& request) {
  std::vector<double> all;
  model.submit(request, [&](Result<Scores> r) {
    ASSERT_TRUE(r.has_value()) << r.error().message();
    for (const auto& row : r->logprobs) all.insert(all.end(), row.begin(), row.end());
  });
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  return all;
}

void expect_same(const Generation& a, const Generation& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.logprobs, b.logprobs);
  EXPECT_EQ(a.text, b.text);
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

// An adapter's folder whose base is the checkpoint.
struct SavedAdapter {
  SavedAdapter(const Checkpoint& checkpoint, LoraConfig config, std::uint64_t seed, double b_spread = 0.3) {
    config.base_model_name_or_path = checkpoint.folder.path();
    adapter = lora_test::random_adapter(config, checkpoint.config, seed, b_spread);
    EXPECT_TRUE(save_peft(folder.path(), adapter, checkpoint.config));
  }
  Folder folder;
  PeftAdapter adapter;
};

LoraConfig uneven() {
  LoraConfig config = lora_test::all_targets(5, 10);
  config.use_rslora = true;
  config.rank_pattern = {{"v_proj", 1}, {"down_proj", 37}};
  config.alpha_pattern = {{"gate_proj", 3}};
  return config;
}

// As in engine_numerics_test.cpp: relative errors near 1e-6 a sum of fp32, outputs of size 10, growth through the layers;
// a wrong index shows at once. What the adapter adds is summed apart from W x, and rounded once more: of the same size.
constexpr double kTolerance = 1e-3;

class LoraEngine : public testing::TestWithParam<Variation> {};

TEST_P(LoraEngine, IsLikeTheReferenceAndLikeTheMergedCheckpoint) {
  const Checkpoint checkpoint(GetParam().config, 3, false);
  const SavedAdapter saved(checkpoint, uneven(), 4);
  const auto model = open_folder(saved.folder.path()), base = checkpoint.open({.precision = "fp32"});
  ASSERT_TRUE(model && base);
  const Generation got = answer(*model, fox());
  const Tokenizer tokenizer = engine_test::small_tokenizer();
  std::vector<std::int32_t> tokens = *ChatFormat::pocket(tokenizer).render(tokenizer, fox().messages, true);
  const std::size_t prompt = tokens.size();
  tokens.insert(tokens.end(), got.tokens.begin(), got.tokens.end());
  ASSERT_FALSE(got.tokens.empty());

  const nn::Layout layout(checkpoint.config);
  std::vector<double> flat(layout.size);
  for (const nn::Param& param : layout.params) {
    const std::vector<float>& values = checkpoint.tensors.values.at(param.name);
    std::copy(values.begin(), values.end(), flat.begin() + std::ptrdiff_t(param.offset));
  }
  const auto targets = *lora_targets(saved.adapter.config, checkpoint.config);
  const nn::LoraLayout lora(checkpoint.config, targets);
  const std::vector<float> pairs = lora_test::flat_of(saved.adapter, lora);
  const auto expected = reference_logprobs(layout, lora_test::adapted(layout, flat, targets, lora, {pairs.begin(), pairs.end()}), tokens);
  for (std::size_t i = 0; i < got.tokens.size(); ++i) EXPECT_NEAR(got.logprobs[i], expected[prompt + i], kTolerance) << "token " << i;

  const Folder merged;
  ASSERT_TRUE(merge_adapter(checkpoint.folder.path(), saved.adapter, merged.path(), {Dtype::kF32}));
  const auto whole = open_folder(merged.path());
  ASSERT_TRUE(whole);
  const auto unmerged = scores(*model, questions());
  EXPECT_LT(largest_difference(unmerged, scores(*whole, questions())), kTolerance);
  EXPECT_GT(largest_difference(unmerged, scores(*base, questions())), 0.1) << "the adapter does nothing";
}

INSTANTIATE_TEST_SUITE_P(OddShape, LoraEngine, testing::ValuesIn(variations(engine_test::odd_shape())),
                         [](const auto& shape) { return shape.param.name; });

TEST(LoraEngineBits, ZeroBIsTheBase) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 3);
  const SavedAdapter saved(checkpoint, uneven(), 4, 0.0);
  const auto model = open_folder(saved.folder.path()), base = checkpoint.open({.precision = "fp32"});
  ASSERT_TRUE(model && base);
  expect_same(answer(*model, fox()), answer(*base, fox()));
  EXPECT_EQ(scores(*model, questions()), scores(*base, questions()));
  EXPECT_NE(model->info().digest, base->info().digest) << "other weights, even if they do nothing";
}

// Each adapter alone in an engine, opened as a model of its own, and all of them at once in one.
TEST(LoraEngineBits, BesideOthersEachHasTheBitsThatItHasAlone) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 3);
  LoraConfig few = lora_test::all_targets(2, 4);
  few.target_pattern = R"(.*\.1\..*_proj)";
  const SavedAdapter policy(checkpoint, uneven(), 4), judge(checkpoint, few, 5);
  const auto alone_base = checkpoint.open({.threads = 1}), alone_policy = open_folder(policy.folder.path(), {.threads = 1}),
             alone_judge = open_folder(judge.folder.path(), {.threads = 1});
  const std::vector<std::pair<std::string, Model*>> alone = {
      {"", alone_base.get()}, {"policy", alone_policy.get()}, {"judge", alone_judge.get()}, {"base", alone_base.get()}};
  const auto together = checkpoint.open({.threads = 2, .adapters = {{"policy", policy.folder.path()}, {"judge", judge.folder.path()}}});
  std::vector<Generation> generations(alone.size());
  std::vector<std::vector<std::vector<double>>> scored(alone.size());
  for (std::size_t i = 0; i < alone.size(); ++i) {
    together->submit(fox(alone[i].first), [&, i](Result<Generation> r) { generations[i] = std::move(*r); });
    together->submit(questions(alone[i].first), [&, i](Result<Scores> r) { scored[i] = r->logprobs; });
  }
  while (together->advance(std::chrono::milliseconds(0)) > 0) {
  }
  for (std::size_t i = 0; i < alone.size(); ++i) {
    SCOPED_TRACE(alone[i].first);
    expect_same(generations[i], answer(*alone[i].second, fox()));
    std::vector<double> flat;
    for (const auto& row : scored[i]) flat.insert(flat.end(), row.begin(), row.end());
    EXPECT_EQ(flat, scores(*alone[i].second, questions()));
  }
  EXPECT_NE(generations[0].logprobs, generations[1].logprobs);
  EXPECT_NE(generations[0].logprobs, generations[2].logprobs);
}

// The same prompt, one adapter after the other: blocks of the cache are reused by the same adapter only.
TEST(LoraEngineBits, TheCacheSharesNothingBetweenAdapters) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 3);
  const SavedAdapter policy(checkpoint, uneven(), 4), judge(checkpoint, uneven(), 5);
  const EngineOptions options{.threads = 1, .adapters = {{"policy", policy.folder.path()}, {"judge", judge.folder.path()}}};
  const auto model = checkpoint.open(options);
  for (const std::string adapter : {"", "policy", "judge"}) {
    SCOPED_TRACE(adapter);
    const Generation first = answer(*model, fox(adapter)), again = answer(*model, fox(adapter));
    EXPECT_EQ(first.usage.cached_tokens, 0);
    EXPECT_GT(again.usage.cached_tokens, 0);
    expect_same(first, again);
    expect_same(first, answer(*checkpoint.open(options), fox(adapter)));
  }
  EXPECT_GT(answer(*model, fox("base")).usage.cached_tokens, 0) << "the base by its name is the base";
}

TEST(LoraEngineNames, AnUnknownOneCompletesWithAnError) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const SavedAdapter policy(checkpoint, uneven(), 4);
  const auto model = checkpoint.open({.precision = "fp32", .adapters = {{"policy", policy.folder.path()}}});
  std::optional<Error> generate, score;
  model->submit(fox("critic"), [&](Result<Generation> r) { generate = r.error(); });
  model->submit(questions("critic"), [&](Result<Scores> r) { score = r.error(); });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_TRUE(generate && score);
  EXPECT_EQ(generate->what, "the model has no adapter \"critic\"");
  EXPECT_EQ(generate->hint, "it has base, policy");
  EXPECT_EQ(score->what, generate->what);
  const auto plain = checkpoint.open({.precision = "fp32"});
  EXPECT_TRUE(plain->info().adapters.empty());
}

TEST(LoraEngineOpen, AnAdaptersFolderIsItsBaseWithItOn) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 3);
  const SavedAdapter policy(checkpoint, uneven(), 4), judge(checkpoint, uneven(), 5);
  const auto base = checkpoint.open({.precision = "fp32"}), model = open_folder(policy.folder.path(), {.precision = "fp32", .adapters = {{"judge", judge.folder.path()}}});
  ASSERT_TRUE(base && model);
  EXPECT_EQ(model->info().uri, policy.folder.path());
  ASSERT_EQ(model->info().adapters.size(), 2U);
  EXPECT_EQ(model->info().adapters[0].name, "base");
  EXPECT_EQ(model->info().adapters[0].digest, base->info().digest);
  EXPECT_EQ(model->info().adapters[1].digest, open_folder(judge.folder.path())->info().digest);
  EXPECT_EQ(model->info().digest, adapted_digest(base->info().digest, *peft_digest(policy.folder.path())));
  EXPECT_NE(model->info().digest, model->info().adapters[1].digest);
  EXPECT_EQ(scores(*model, questions("base")), scores(*base, questions()));
  EXPECT_NE(scores(*model, questions()), scores(*base, questions()));
  EXPECT_EQ(scores(*model, questions("judge")), scores(*open_folder(judge.folder.path()), questions()));
}

TEST(LoraEngineOpen, WhatDoesNotFitIsRefused) {
  const Checkpoint checkpoint(engine_test::odd_shape()), other(engine_test::shape_of(64, 2, 4, 2, 16, 96, true));
  SavedAdapter policy(checkpoint, uneven(), 4);
  const std::string path = policy.folder.path();
  EXPECT_NE(refusal(other.folder.path(), {.adapters = {{"policy", path}}}).find(" but should be ["), std::string::npos);
  EXPECT_NE(refusal(checkpoint.folder.path(), {.adapters = {{"policy", path + "/nowhere"}}}).find("adapter_config.json"), std::string::npos);
  EXPECT_NE(refusal(checkpoint.folder.path(), {.adapters = {{"a", path}, {"a", path}}}).find("two adapters are called \"a\""), std::string::npos);
  EXPECT_NE(refusal(checkpoint.folder.path(), {.adapters = {{"base", path}}}).find("cannot be called \"base\""), std::string::npos);
  EXPECT_NE(refusal(checkpoint.folder.path(), {.adapters = {{"", path}}}).find("cannot be called \"\""), std::string::npos);
  policy.adapter.config.base_model_name_or_path = "../nowhere";
  ASSERT_TRUE(save_peft(path, policy.adapter, checkpoint.config));
  EXPECT_NE(refusal(path).find("\"../nowhere\" is no folder here"), std::string::npos) << refusal(path);
}

}  // namespace
}  // namespace precept
