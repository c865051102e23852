// Whole runs that train an adapter: it learns, resumes to the same bytes, is written as PEFT reads it, and says in the
// engine what it said in training, merged or not.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <optional>

#include "precept/lm/train/state.h"
#include "precept/lm/train/trainer.h"
#include "tests/lm/device.h"
#include "tests/lm/engine_support.h"
#include "tests/lm/flat_weights.h"
#include "tests/lm/lora_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using engine_test::Folder;

// A few sentences of random tokens, each to be known by its first one.
TrainSet sentences(std::uint64_t count, int vocab) {
  TrainSet set;
  set.count = count;
  set.digest = "sentences";
  set.example = [vocab](std::uint64_t i) {
    Rng rng({12, i % 6, 0, 0});
    TrainExample example;
    for (int j = 0; j < 12; ++j) {
      example.tokens.push_back(std::int32_t(rng.below(std::uint64_t(vocab))));
      example.weights.push_back(1.0F);
    }
    return example;
  };
  return set;
}

LlamaConfig base_shape() {
  LlamaConfig config = engine_test::shape_of(48, 2, 3, 3, 16, 96, true, 128);
  config.architecture = Architecture::kQwen3;
  config.qk_norm = true;
  return config;
}

class LoraRun : public testing::Test {
 protected:
  TrainOptions options(const std::string& name) const {
    TrainOptions o;
    o.device = test_device();
    o.from = base_.folder.path();
    o.out = folder_.path() + "/" + name;
    o.batch_tokens = 96;
    o.lr = 1e-2;
    o.warmup_share = 0.1;
    o.weight_decay = 0.01;
    o.lora.on = true;
    o.lora.rank = 4;
    o.lora.alpha = 8;
    return o;
  }
  TrainSet data(std::uint64_t count) const { return sentences(count, base_.config.vocab_size); }
  std::string bytes(const std::string& name) const { return *read_file(folder_.path() + "/" + name + "/adapter_model.safetensors"); }

  Checkpoint base_{base_shape(), 2};
  Folder folder_;
};

TEST_F(LoraRun, LearnsAndLeavesTheBaseAsItWas) {
  const std::string before = *checkpoint_digest(base_.folder.path());
  const auto summary = train(options("a"), data(1200), {});
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_GT(summary->first_loss, 4);
  EXPECT_LT(summary->last_loss, summary->first_loss / 3);
  EXPECT_EQ(*checkpoint_digest(base_.folder.path()), before);
  EXPECT_EQ(summary->digest, adapted_digest(before, *peft_digest(options("a").out)));
  EXPECT_TRUE(summary->merged_digest.empty());

  const auto loaded = load_peft(options("a").out, base_.config);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(loaded->dtype, Dtype::kF32);
  EXPECT_EQ(loaded->config.r, 4);
  EXPECT_EQ(loaded->config.lora_alpha, 8);
  EXPECT_EQ(loaded->config.target_modules.size(), 7U);
  EXPECT_EQ(loaded->config.base_model_name_or_path, base_.folder.path());
  EXPECT_EQ(loaded->pairs.size(), 14U);
  EXPECT_FALSE(std::filesystem::exists(options("a").out + "/model.safetensors"));
}

TEST_F(LoraRun, OnlyTheTargetsAreTrained) {
  TrainOptions o = options("a");
  o.lora.targets = "q_proj, v_proj";
  o.lora.rslora = true;
  ASSERT_TRUE(train(o, data(60), {}));
  const auto loaded = load_peft(o.out, base_.config);
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_TRUE(loaded->config.use_rslora);
  EXPECT_EQ(loaded->pairs.size(), 4U);
  for (const LoraPair& pair : loaded->pairs) {
    EXPECT_NE(pair.module.find("self_attn."), std::string::npos);
    double moved = 0;
    for (const float b : pair.b) moved += std::abs(double(b));
    EXPECT_GT(moved, 0) << pair.module;
  }
  o.lora.targets = "all-linear";
  o.out += "2";
  ASSERT_TRUE(train(o, data(60), {}));
  EXPECT_EQ(load_peft(o.out, base_.config)->pairs.size(), 14U);
}

// Trained, written, loaded: the log-probabilities of a learnt sentence in the trainer's own pass (fp32), in the engine with
// the adapter on, and in the engine with it merged in fp32 are the same but for rounding of sums.
TEST_F(LoraRun, SaysTheSameMergedAndUnmerged) {
  TrainOptions o = options("a");
  o.precision = "fp32";
  o.lora.merged = folder_.path() + "/merged";
  const auto summary = train(o, data(900), {});
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_EQ(summary->merged_digest, *checkpoint_digest(o.lora.merged));
  const auto loaded = load_peft(o.out, base_.config);
  ASSERT_TRUE(loaded);
  const Folder exact;
  ASSERT_TRUE(merge_adapter(o.from, *loaded, exact.path(), {Dtype::kF32}));

  const auto score = [](const std::string& folder) {
    const auto model = precept_lm_api()->open_checkpoint(folder, {.precision = "fp32"});
    EXPECT_TRUE(model) << model.error().message();
    ScoreRequest request;
    request.messages = {{"user", "tell me about the fox"}};
    request.questions = {{"", {" yes", " story", "zq", " the fox is kind to the animal"}}};
    std::vector<double> result;
    (*model)->submit(request, [&](Result<Scores> r) { result = r->logprobs.at(0); });
    while ((*model)->advance(std::chrono::milliseconds(0)) > 0) {
    }
    return result;
  };
  const auto unmerged = score(o.out), merged = score(exact.path()), rounded = score(o.lora.merged), base = score(o.from);
  ASSERT_EQ(unmerged.size(), 4U);
  for (std::size_t i = 0; i < unmerged.size(); ++i) {
    EXPECT_NEAR(unmerged[i], merged[i], 1e-3) << i;
    EXPECT_NEAR(unmerged[i], rounded[i], 0.5 + 0.02 * std::abs(unmerged[i])) << "merged weights in bf16 keep 8 bits";
    EXPECT_GT(std::abs(unmerged[i] - base[i]), 0.1) << i;
  }

  // In the trainer, on a sentence that was learnt.
  const nn::Layout layout(base_.config);
  const nn::LoraLayout lora(base_.config, *lora_targets(loaded->config, base_.config));
  FlatWeights weights(layout), whole(layout);
  const auto start = load_weights(o.from, layout), end = load_weights(exact.path(), layout);
  ASSERT_TRUE(start && end);
  std::copy(start->begin(), start->end(), weights.flat.begin());
  std::copy(end->begin(), end->end(), whole.flat.begin());
  weights.pack(nn::kernels());
  whole.pack(nn::kernels());
  nn::LoraWeights pairs(lora, false);
  const std::vector<float> flat = lora_test::flat_of(*loaded, lora);
  std::copy(flat.begin(), flat.end(), pairs.flat.begin());
  pairs.pack(nn::kernels());
  const TrainExample sentence = data(6).example(0);
  const auto adapted = nn::Pass(layout, nn::kernels(), &pairs).logprobs(weights, sentence);
  const auto together = nn::Pass(layout, nn::kernels()).logprobs(whole, sentence);
  double sum = 0;
  for (std::size_t i = 1; i < adapted.size(); ++i) {
    EXPECT_NEAR(adapted[i], together[i], 1e-3) << "token " << i;
    sum += adapted[i];
  }
  EXPECT_GT(sum / 11, -2) << "it was learnt";
}

class LoraRunIn : public LoraRun, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Precision, LoraRunIn, testing::Values("auto", "fp32"), [](const auto& precision) { return std::string(precision.param); });

TEST_P(LoraRunIn, TheNumberOfThreadsChangesNoBit) {
  TrainOptions one = options("one"), three = options("three");
  one.precision = three.precision = GetParam();
  one.threads = 1;
  three.threads = 3;
  ASSERT_TRUE(train(one, data(120), {}) && train(three, data(120), {}));
  EXPECT_EQ(bytes("one"), bytes("three"));
  three.seed = 1;
  ASSERT_TRUE(train(three, data(120), {}));
  EXPECT_NE(bytes("one"), bytes("three"));
}

struct Killed {};

TEST_P(LoraRunIn, ResumesToTheSameBytes) {
  TrainOptions plain = options("plain");
  plain.precision = GetParam();
  plain.epochs = 2;
  const auto expected = train(plain, data(250), {});
  ASSERT_TRUE(expected);

  TrainOptions resumed = plain;
  resumed.out = options("resumed").out;
  resumed.state = folder_.path() + "/state";
  resumed.checkpoint_every = 7;
  int runs = 0;
  for (bool done = false; runs < 10 && !done; ++runs) {
    int steps = 0;
    try {
      const auto summary = train(resumed, data(250), [&](const Event& e) {
        if (e.kind == Event::Kind::kMetric && e.name == "loss" && ++steps == 3) throw Killed{};
      });
      ASSERT_TRUE(summary) << summary.error().message();
      EXPECT_EQ(summary->digest, expected->digest);
      EXPECT_EQ(summary->steps, expected->steps);
      EXPECT_EQ(summary->last_loss, expected->last_loss);
      done = true;
    } catch (const Killed&) {
    }
  }
  EXPECT_GT(runs, 2);
  EXPECT_LT(runs, 10);
  EXPECT_EQ(bytes("resumed"), bytes("plain"));
  EXPECT_EQ(*read_file(resumed.out + "/adapter_config.json"), *read_file(plain.out + "/adapter_config.json"));
  // The state is that of the adapter alone: 3 floats for each of its parameters, and little else.
  const nn::LoraLayout lora(base_.config, *lora_targets(lora_test::all_targets(4, 8), base_.config));
  EXPECT_LT(std::filesystem::file_size(resumed.state + "/train.state"), lora.size * 12 + 20'000);

  TrainOptions other = resumed;
  other.lora.alpha = 9;
  const auto refused = train(other, data(250), {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("lora was "), std::string::npos) << refused.error().what;
}

TEST_F(LoraRun, RefusesWhatMakesNoSense) {
  const auto refusal = [&](auto change) {
    TrainOptions o = options("x");
    change(o);
    const auto refused = train(o, data(10), {});
    return refused ? std::string("(accepted)") : refused.error().message();
  };
  EXPECT_EQ(refusal([](TrainOptions&) {}), "(accepted)");
  EXPECT_NE(refusal([](TrainOptions& o) { o.lora.rank = 0; }).find("rank is 0"), std::string::npos);
  EXPECT_NE(refusal([](TrainOptions& o) { o.lora.alpha = 0; }).find("alpha"), std::string::npos);
  EXPECT_NE(refusal([](TrainOptions& o) { o.lora.targets = "q_proj,lm_head"; }).find("\"lm_head\""), std::string::npos);
  EXPECT_NE(refusal([](TrainOptions& o) { o.lora.targets = "q_proj,"; }).find("empty name"), std::string::npos);
  EXPECT_NE(refusal([](TrainOptions& o) { o.from.clear(); o.fresh = base_shape(); }).find("needs a checkpoint"), std::string::npos);
  EXPECT_NE(refusal([](TrainOptions& o) { o.out = o.from; }).find("base's folder"), std::string::npos);
  EXPECT_NE(refusal([](TrainOptions& o) { o.from = o.out; }).find("is an adapter"), std::string::npos);
}

}  // namespace
}  // namespace precept
