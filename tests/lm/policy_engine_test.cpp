// The engine on a trainer's weights in memory answers as one does that is opened on the checkpoint written of them, to the bit; and
// after the weights changed, nothing is left of the old ones.
#include <gtest/gtest.h>

#include <optional>

#include "precept/lm/train/cpu_trainer.h"
#include "precept/lm/train/lora.h"
#include "precept/lm/train/rollout.h"
#include "tests/lm/engine_support.h"
#include "tests/support/variations.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using engine_test::Folder;

// Long enough for whole blocks that requests share, and that a second sampling would find in the cache.
std::vector<GenerateRequest> requests() {
  std::vector<GenerateRequest> all;
  for (const char* prompt : {"tell me about the fox, and is it kind, and is it an animal that tells a story about the fox?",
                             "tell me about the fox, and is it kind, and is it an animal that tells a story about it?", "q"}) {
    for (std::uint32_t sample = 0; sample < 2; ++sample) {
      GenerateRequest request;
      request.messages = {{"user", prompt}};
      request.sampling.max_tokens = 24;
      request.key = {3, 1, 0, sample};
      request.logprobs = true;
      all.push_back(std::move(request));
    }
  }
  return all;
}

std::vector<Generation> answers_of(const std::string& folder, const std::string& precision) {
  EngineOptions options;
  options.threads = 2;
  options.precision = precision;
  auto model = infer::open_engine(folder, options);
  EXPECT_TRUE(model) << model.error().message();
  std::vector<GenerateRequest> asked = requests();
  std::vector<Generation> answers(asked.size());
  for (std::size_t i = 0; i < asked.size(); ++i) {
    (*model)->submit(std::move(asked[i]), [&answers, i](Result<Generation> answer) { answers[i] = std::move(*answer); });
  }
  while ((*model)->advance(std::chrono::milliseconds(0)) > 0) {
  }
  return answers;
}

// A trainer on a checkpoint, or on an adapter of it, and its engine.
class Policy {
 public:
  Policy(const LlamaConfig& config, const std::string& precision, bool adapter, bool bf16_base = true)
      : checkpoint_(config, 3, bf16_base), layout_(config), subject_{layout_, std::nullopt, std::nullopt, 0} {
    options_.from = checkpoint_.folder.path();
    options_.precision = precision;
    options_.threads = 2;
    if (adapter) {
      options_.lora.on = true;
      options_.lora.rank = 5;
      options_.lora.targets = "q_proj,v_proj,o_proj,up_proj,down_proj";
      subject_.config = *lora_config_of(options_.lora, options_.from);
      subject_.lora.emplace(layout_.config, *lora_targets(*subject_.config, layout_.config));
    }
    const std::vector<float> weights = *load_weights(options_.from, layout_);
    trainer_ = std::make_unique<CpuTrainer>(options_, layout_, adapter ? &*subject_.lora : nullptr, 2);
    if (adapter) trainer_->freeze(weights);
    optimizer_.master = adapter ? initial_lora(*subject_.lora, 4) : weights;
    optimizer_.mean.assign(subject_.size(), 0.0F);
    optimizer_.square.assign(subject_.size(), 0.0F);
    trainer_->take(optimizer_.master);
    auto engine = PolicyEngine::open({options_, subject_, *trainer_, {}});
    EXPECT_TRUE(engine) << engine.error().message();
    engine_ = std::move(*engine);
  }

  std::vector<Generation> sample() {
    auto answers = engine_->sample(requests());
    EXPECT_TRUE(answers) << answers.error().message();
    return *answers;
  }
  std::vector<Generation> of_files() const {
    const std::string out = folder_.path() + "/" + std::to_string(optimizer_.step);
    const std::vector<float> seen = trainer_->seen(optimizer_.master);
    const Status written = subject_.lora ? save_peft(out, adapter_of(*subject_.config, *subject_.lora, seen), layout_.config)
                                         : write_checkpoint(out, layout_, seen, options_.from, options_.shard_bytes);
    EXPECT_TRUE(written) << written.error().message();
    return answers_of(out, options_.precision);
  }
  // Far enough for other answers.
  void step() {
    TrainExample example{{4, 9, 30, 17, 40, 41, 42, 5, 6, 7}, std::vector<float>(10, 1.0F)};
    trainer_->gradient({&example}, 1.0F);
    trainer_->update(optimizer_, 3e-2, 1.0);
  }
  CpuTrainer& trainer() { return *trainer_; }
  const AdamW& optimizer() const { return optimizer_; }

 private:
  Checkpoint checkpoint_;
  Folder folder_;
  nn::Layout layout_;
  Subject subject_;
  TrainOptions options_;
  AdamW optimizer_;
  std::unique_ptr<CpuTrainer> trainer_;
  std::unique_ptr<PolicyEngine> engine_;
};

void expect_same(const std::vector<Generation>& a, const std::vector<Generation>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].tokens, b[i].tokens) << "answer " << i;
    EXPECT_EQ(a[i].logprobs, b[i].logprobs) << "answer " << i;
    EXPECT_EQ(a[i].finish, b[i].finish) << "answer " << i;
  }
}

bool differ(const std::vector<Generation>& a, const std::vector<Generation>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].tokens != b[i].tokens || a[i].logprobs != b[i].logprobs) return true;
  }
  return false;
}

void expect_like_the_files(const LlamaConfig& config) {
  for (const std::string precision : {"fp32", "bf16"}) {
    if (precision == "bf16" && nn::bf16_kernels() == nullptr) continue;
    for (const bool adapter : {false, true}) {
      SCOPED_TRACE(precision + (adapter ? " adapter" : " full"));
      Policy policy(config, precision, adapter);
      const auto first = policy.sample();
      expect_same(first, policy.of_files());
      for (int i = 0; i < 3; ++i) policy.step();
      const auto later = policy.sample();
      EXPECT_TRUE(differ(first, later));
      expect_same(later, policy.of_files());
    }
  }
}

TEST(PolicyEngine, AnswersLikeTheFilesOfItsWeightsTied) { expect_like_the_files(engine_test::pocket_shape()); }
// Untied, and gate's last panel is not full.
TEST(PolicyEngine, AnswersLikeTheFilesOfItsWeightsUntied) { expect_like_the_files(engine_test::odd_shape()); }

class PolicyVariations : public testing::TestWithParam<Variation> {};
TEST_P(PolicyVariations, AnswerLikeTheFilesOfTheirWeights) { expect_like_the_files(GetParam().config); }
INSTANTIATE_TEST_SUITE_P(OddShape, PolicyVariations, testing::ValuesIn(variations(engine_test::odd_shape())),
                         [](const auto& shape) { return shape.param.name; });

// The base of an adapter is not rounded to bf16: its embeddings are those of the checkpoint.
TEST(PolicyEngine, AnAdapterOnAnFp32Base) {
  for (const std::string precision : {"fp32", "bf16"}) {
    if (precision == "bf16" && nn::bf16_kernels() == nullptr) continue;
    for (const bool tied : {true, false}) {
      SCOPED_TRACE(precision + (tied ? " tied" : " untied"));
      Policy policy(tied ? engine_test::pocket_shape() : engine_test::odd_shape(), precision, true, false);
      policy.step();
      expect_same(policy.sample(), policy.of_files());
    }
  }
}

// Every way in which weights change: a step, weights that are taken, a base that is frozen.
TEST(PolicyEngine, NothingOfOldWeightsIsUsedAgain) {
  Policy policy(engine_test::pocket_shape(), "fp32", false);
  const std::vector<float> start = policy.optimizer().master;
  const auto before = policy.sample();
  policy.step();
  const auto after = policy.sample();
  EXPECT_TRUE(differ(before, after));
  expect_same(after, policy.of_files());
  policy.trainer().take(start);
  expect_same(policy.sample(), before);
  std::vector<float> scaled = start;
  for (float& weight : scaled) weight *= 1.25F;
  policy.trainer().freeze(scaled);
  const auto frozen = policy.sample();
  EXPECT_TRUE(differ(before, frozen));
  policy.trainer().freeze(start);
  expect_same(policy.sample(), before);
}

TEST(PolicyEngine, ShareWhatTheSameWeightsComputed) {
  Policy policy(engine_test::pocket_shape(), "fp32", false);
  const auto cached = [](const std::vector<Generation>& answers) {
    std::int64_t sum = 0;
    for (const Generation& answer : answers) sum += answer.usage.cached_tokens;
    return sum;
  };
  const std::int64_t first = cached(policy.sample());
  EXPECT_GT(cached(policy.sample()), first);
  policy.step();
  EXPECT_EQ(cached(policy.sample()), first) << "as from an empty cache";
}

}  // namespace
}  // namespace precept
