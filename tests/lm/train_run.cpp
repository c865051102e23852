// Whole runs of the trainer: it learns, stops, resumes to the same bits, and refuses what does not fit.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/lm/train/adamw.h"
#include "precept/lm/train/batches.h"
#include "precept/lm/train/state.h"
#include "precept/lm/train/trainer.h"
#include "tests/lm/device.h"

namespace precept {
namespace {

// "Copy": a few symbols, a separator, the same symbols again; only the copy is trained.
TrainSet copy_task(std::uint64_t count) {
  TrainSet set;
  set.count = count;
  set.digest = "copy";
  set.example = [](std::uint64_t i) {
    Rng rng({11, i, 0, 0});
    TrainExample example;
    const std::uint64_t n = 2 + rng.below(4);
    for (std::uint64_t j = 0; j < n; ++j) example.tokens.push_back(std::int32_t(1 + rng.below(6)));
    example.tokens.push_back(0);
    for (std::uint64_t j = 0; j < n; ++j) example.tokens.push_back(example.tokens[j]);
    example.tokens.push_back(7);
    example.weights.assign(example.tokens.size(), 0.0F);
    for (std::uint64_t j = n + 1; j < example.tokens.size(); ++j) example.weights[j] = 1.0F;
    return example;
  };
  return set;
}

class TrainRun : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "precept_train_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  TrainOptions options(const std::string& name) const {
    TrainOptions o;
    o.device = test_device();
    o.fresh.vocab_size = 8;
    o.fresh.hidden_size = 48;
    o.fresh.intermediate_size = 96;
    o.fresh.num_hidden_layers = 2;
    o.fresh.num_attention_heads = o.fresh.num_key_value_heads = 3;
    o.fresh.head_dim = 16;
    o.fresh.max_position_embeddings = 64;
    o.fresh.tie_word_embeddings = true;
    o.out = folder_ + "/" + name;
    o.batch_tokens = 256;
    o.lr = 5e-3;
    o.warmup_share = 0.1;
    o.weight_decay = 0.01;
    return o;
  }

  std::string folder_;
};

TEST_F(TrainRun, LearnsToCopy) {
  std::vector<Event> events;
  const auto summary = train(options("a"), copy_task(12000), [&](const Event& e) { events.push_back(e); });
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_GT(summary->first_loss, 1.3);
  EXPECT_LT(summary->last_loss, 0.05);
  EXPECT_EQ(summary->examples, 12000);
  EXPECT_EQ(summary->truncated, 0);
  EXPECT_EQ(summary->digest.size(), 64U);
  EXPECT_EQ(events.back().done, 12000);
  EXPECT_EQ(events.back().total, 12000);
}

// bf16 where the processor has it.
class TrainRunIn : public TrainRun, public testing::WithParamInterface<const char*> {
 protected:
  TrainOptions options(const std::string& name) const {
    TrainOptions o = TrainRun::options(name);
    o.precision = GetParam();
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Precision, TrainRunIn, testing::Values("auto", "fp32"), [](const auto& precision) { return std::string(precision.param); });

TEST_P(TrainRunIn, TheNumberOfThreadsChangesNoBit) {
  TrainOptions one = options("one");
  one.threads = 1;
  TrainOptions three = options("three");
  three.threads = 3;
  const auto a = train(one, copy_task(1000), {});
  const auto b = train(three, copy_task(1000), {});
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->digest, b->digest);
}

TEST_F(TrainRun, GoesOnFromACheckpoint) {
  const auto first = train(options("first"), copy_task(3000), {});
  ASSERT_TRUE(first) << first.error().message();
  TrainOptions more = options("more");
  more.from = more.tokenizer_folder = options("first").out;
  more.lr = 1e-4;
  const auto second = train(more, copy_task(600), {});
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_LT(second->first_loss, first->first_loss / 2);
}

// Kills a run from inside its data after `examples`; what is on disk then is what a SIGKILL leaves.
struct Killed {};

TEST_P(TrainRunIn, ResumesToTheSameBits) {
  TrainOptions plain = options("plain");
  plain.epochs = 2;
  const auto expected = train(plain, copy_task(700), {});
  ASSERT_TRUE(expected);

  TrainOptions resumed = options("resumed");
  resumed.epochs = 2;
  resumed.state = folder_ + "/state";
  resumed.checkpoint_every = 7;
  int runs = 0;
  std::string digest;
  for (; runs < 10 && digest.empty(); ++runs) {
    int steps = 0;
    try {
      const auto summary = train(resumed, copy_task(700), [&](const Event& e) {
        if (e.kind == Event::Kind::kMetric && e.name == "loss" && ++steps == 3) throw Killed{};
      });
      ASSERT_TRUE(summary) << summary.error().message();
      digest = summary->digest;
      EXPECT_EQ(summary->steps, expected->steps);
      EXPECT_EQ(summary->tokens, expected->tokens);
      EXPECT_EQ(summary->last_loss, expected->last_loss);
    } catch (const Killed&) {
    }
  }
  EXPECT_GT(runs, 2);
  EXPECT_EQ(digest, expected->digest);

  // Finished: running it again changes nothing.
  const auto again = train(resumed, copy_task(700), {});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->digest, digest);
}

TEST_F(TrainRun, RefusesTheStateOfAnotherRun) {
  TrainOptions o = options("x");
  o.state = folder_ + "/state";
  ASSERT_TRUE(train(o, copy_task(100), {}));
  TrainOptions other = o;
  other.lr = 1e-3;
  auto refused = train(other, copy_task(100), {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("lr was 0.005, now 0.001"), std::string::npos) << refused.error().what;
  EXPECT_EQ(refused.error().kind, ErrorKind::kBadInput);
  other = o;
  other.lanes = 2;
  refused = train(other, copy_task(100), {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("lanes was the default, now 2"), std::string::npos) << refused.error().what;
  TrainSet set = copy_task(100);
  set.digest = "other";
  refused = train(o, set, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("data was \"copy\", now \"other\""), std::string::npos) << refused.error().what;
}

// What is the default says nothing, so that a state from before lanes were an option is the same as one from after.
TEST_F(TrainRun, TheStateKnowsLanesOnlyWhereTheyAreNotTheDefault) {
  const auto run_of = [](const std::string& folder) {
    const std::string bytes = *read_file(folder + "/train.state");
    return nlohmann::json::parse(bytes.substr(0, bytes.find('\n')))["run"];
  };
  TrainOptions o = options("x");
  o.state = folder_ + "/state";
  ASSERT_TRUE(train(o, copy_task(100), {}));
  EXPECT_FALSE(run_of(o.state).contains("lanes"));
  o.state = folder_ + "/other";
  o.lanes = 2;
  ASSERT_TRUE(train(o, copy_task(100), {}));
  EXPECT_EQ(run_of(o.state)["lanes"], 2);
  EXPECT_TRUE(train(o, copy_task(100), {})) << "with the same lanes it goes on";
  o.lanes = TrainOptions().lanes;
  const auto refused = train(o, copy_task(100), {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("lanes was 2, now the default"), std::string::npos) << refused.error().what;
}

// A state as if another kind of processor had made its steps.
TEST_F(TrainRun, SaysThatOtherKernelsWentOn) {
  TrainOptions o = options("x");
  o.state = folder_ + "/state";
  std::vector<std::string> warnings;
  const EventSink sink = [&](const Event& e) {
    if (e.kind == Event::Kind::kWarning) warnings.push_back(e.text);
  };
  int asked = 0;
  o.stop = [&] { return ++asked == 3; };
  ASSERT_FALSE(train(o, copy_task(100), sink));  // stopped
  const std::string path = o.state + "/train.state", bytes = *read_file(path);
  const std::size_t line = bytes.find('\n');
  const nlohmann::json head = nlohmann::json::parse(bytes.substr(0, line));
  ASSERT_EQ(head["kernels"].size(), 1U);
  const std::string own = head["kernels"][0];
  const auto made_by = [&](const nlohmann::json& kernels) {
    nlohmann::json other = head;
    other["kernels"] = kernels;
    if (kernels.is_null()) other.erase("kernels");
    const std::string changed = other.dump() + bytes.substr(line, bytes.size() - line - sha256("").size());
    return write_file(path, changed + sha256(changed)).has_value();
  };

  ASSERT_TRUE(made_by(nullptr));  // a state of before does not say, and nothing can be told
  const auto first = train(o, copy_task(100), sink);
  ASSERT_TRUE(first && train(o, copy_task(100), sink));
  EXPECT_TRUE(warnings.empty()) << warnings.front();

  ASSERT_TRUE(made_by({"abacus"}));
  for (std::size_t run = 1; run <= 2; ++run) {  // the second one has nothing left to do, and its weights are the same mixture
    const auto resumed = train(o, copy_task(100), sink);
    ASSERT_TRUE(resumed) << resumed.error().message();
    EXPECT_EQ(resumed->digest, first->digest);
    ASSERT_EQ(warnings.size(), run);
    EXPECT_NE(warnings.back().find("(kernels abacus, " + own + ")"), std::string::npos) << warnings.back();
  }
  for (const nlohmann::json& bad : {nlohmann::json("abacus"), nlohmann::json({1})}) {
    ASSERT_TRUE(made_by(bad));
    EXPECT_FALSE(train(o, copy_task(100), sink)) << bad;
  }
}

TEST_F(TrainRun, RefusesADamagedState) {
  TrainOptions o = options("x");
  o.state = folder_ + "/state";
  ASSERT_TRUE(train(o, copy_task(100), {}));
  const std::string path = o.state + "/train.state";
  const std::string whole = *read_file(path);
  std::string bytes = whole;
  bytes[bytes.size() / 2] ^= 1;
  for (const std::string& bad : {whole.substr(0, whole.size() / 2), std::string("x"), std::string(), bytes}) {
    ASSERT_TRUE(write_file(path, bad));
    const auto refused = train(o, copy_task(100), {});
    ASSERT_FALSE(refused) << bad.size();
    EXPECT_EQ(refused.error().kind, ErrorKind::kBadInput);
    EXPECT_EQ(refused.error().file, path);
  }
}

TEST_F(TrainRun, StopsOnRequestAndGoesOnFromThatStep) {
  TrainOptions o = options("x");
  o.state = folder_ + "/state";
  int asked = 0;
  o.stop = [&] { return ++asked == 3; };
  const auto stopped = train(o, copy_task(100), {});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().what, "stopped on request after step 3");
  asked = 1000;  // steps that are made again would ask again
  const auto resumed = train(o, copy_task(100), {}), whole = train(options("y"), copy_task(100), {});
  ASSERT_TRUE(resumed && whole);
  EXPECT_EQ(asked, 1000 + whole->steps - 3);
  EXPECT_EQ(resumed->digest, whole->digest);
}

TEST_F(TrainRun, StopsWhenTheLossIsNotFinite) {
  TrainOptions o = options("x");
  o.lr = 1e30;
  o.clip_norm = 0;
  const auto stopped = train(o, copy_task(2000), {});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind, ErrorKind::kFailed);
  EXPECT_EQ(stopped.error().what.rfind("step ", 0), 0U) << stopped.error().what;
  EXPECT_NE(stopped.error().what.find("not finite"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(o.out + "/model.safetensors"));
}

TEST_F(TrainRun, RefusesExamplesThatDoNotFit) {
  TrainSet set = copy_task(10);
  set.example = [](std::uint64_t) { return TrainExample{{1, 2, 8}, {1, 1, 1}}; };
  auto refused = train(options("x"), set, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("token id 8"), std::string::npos) << refused.error().what;
  set.example = [](std::uint64_t) { return TrainExample{{1, 2, 3}, {1, 1}}; };
  refused = train(options("x"), set, {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("3 tokens but 2 weights"), std::string::npos);
  set.example = [](std::uint64_t) { return TrainExample{{1, 2, 3}, {1, 1, NAN}}; };
  EXPECT_FALSE(train(options("x"), set, {}));
  set.count = 0;
  EXPECT_FALSE(train(options("x"), set, {}));
}

TEST_F(TrainRun, RefusesWhatTeachesNothing) {
  TrainSet set = copy_task(10);
  set.example = [](std::uint64_t) { return TrainExample{{1, 2}, {1, 0}}; };
  const auto refused = train(options("x"), set, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().what, "no example has a token to learn");
}

TEST_F(TrainRun, RefusesFoldersBeforeItTrains) {
  bool asked = false;
  TrainSet set = copy_task(10);
  const auto inner = set.example;
  set.example = [&](std::uint64_t i) {
    asked = true;
    return inner(i);
  };
  std::filesystem::create_directories(folder_);
  ASSERT_TRUE(write_file(folder_ + "/file", "x"));
  EXPECT_FALSE(train(options("file/below"), set, {}));
  TrainOptions o = options("x");
  o.state = folder_ + "/file/below";
  EXPECT_FALSE(train(o, set, {}));
  o = options("x");
  o.tokenizer_folder = folder_ + "/nowhere";
  const auto refused = train(o, set, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().file, o.tokenizer_folder);
  EXPECT_FALSE(asked);
}

TEST_F(TrainRun, CopiesTheTokenizersFiles) {
  ASSERT_TRUE(make_folder(folder_ + "/tokenizer"));
  ASSERT_TRUE(write_file(folder_ + "/tokenizer/tokenizer.json", "{}"));
  ASSERT_TRUE(write_file(folder_ + "/tokenizer/chat.json", "[]"));
  TrainOptions o = options("x");
  o.tokenizer_folder = folder_ + "/tokenizer";
  ASSERT_TRUE(train(o, copy_task(20), {}));
  EXPECT_EQ(*read_file(o.out + "/tokenizer.json"), "{}");
  EXPECT_EQ(*read_file(o.out + "/chat.json"), "[]");
}

TEST_F(TrainRun, AnExceptionOfTheDataReachesTheCaller) {
  TrainSet set = copy_task(500);
  const auto inner = set.example;
  set.example = [&](std::uint64_t i) {
    if (i == 77) throw Killed{};
    return inner(i);
  };
  EXPECT_THROW((void)train(options("x"), set, {}), Killed);
}

TEST_F(TrainRun, CutsAndCountsLongExamples) {
  TrainOptions o = options("x");
  o.max_tokens = 6;
  const TrainSet set = copy_task(200);
  std::int64_t longer = 0;
  for (std::uint64_t i = 0; i < 200; ++i) longer += set.example(i).tokens.size() > 6 ? 1 : 0;
  const auto summary = train(o, set, {});
  ASSERT_TRUE(summary);
  EXPECT_GT(longer, 0);
  EXPECT_EQ(summary->truncated, longer);
}

TEST_F(TrainRun, RefusesACheckpointThatIsNotWhole) {
  ASSERT_TRUE(train(options("base"), copy_task(100), {}));
  const std::string base = options("base").out;
  TrainOptions more = options("more");
  more.from = base;
  const std::string path = base + "/model.safetensors";
  const std::string whole = *read_file(path);
  ASSERT_TRUE(write_file(path, whole.substr(0, whole.size() - 100)));
  EXPECT_FALSE(train(more, copy_task(100), {}));

  const nn::Layout layout(options("base").fresh);
  LlamaConfig wider = options("base").fresh;
  wider.intermediate_size = 128;
  ASSERT_TRUE(write_file(path, whole));
  ASSERT_TRUE(write_file(base + "/config.json", llama_config_json(wider)));
  const auto refused = train(more, copy_task(100), {});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().what.find("mlp.gate_proj.weight is [96, 48], but its config makes it [128, 48]"),
            std::string::npos) << refused.error().what;
  EXPECT_FALSE(train([&] { TrainOptions o = more; o.from = folder_ + "/nowhere"; return o; }(), copy_task(10), {}));
}

TEST(TrainAdamW, TwoStepsWorkedByHand) {
  AdamW state;
  state.beta1 = 0.5;
  state.beta2 = 0.75;
  state.eps = 0.0;
  state.master = {1.0F};
  state.mean = {0.0F};
  state.square = {0.0F};
  float rounded = 0;
  // Step 1: m = 2, v = 4, m^ = 4, v^ = 16: master = 1 * (1 - 0.1 * 0.5) - 0.1 * 4 / 4 = 0.85.
  float gradient = 4.0F;
  adamw_update(state, 1, 0.1, 0.5, 1.0F, &gradient, &rounded, 0, 1);
  EXPECT_FLOAT_EQ(state.mean[0], 2.0F);
  EXPECT_FLOAT_EQ(state.square[0], 4.0F);
  EXPECT_FLOAT_EQ(state.master[0], 0.85F);
  EXPECT_FLOAT_EQ(rounded, 0.8515625F);  // the nearest with 8 bits of significand
  // Step 2, gradient -8 clipped by half: m = 1 - 2 = -1, v = 3 + 4 = 7, m^ = -1 / 0.75, v^ = 7 / 0.4375 = 16:
  // master = 0.85 + 0.1 * (4/3) / 4.
  gradient = -8.0F;
  adamw_update(state, 2, 0.1, 0.0, 0.5F, &gradient, &rounded, 0, 1);
  EXPECT_FLOAT_EQ(state.mean[0], -1.0F);
  EXPECT_FLOAT_EQ(state.square[0], 7.0F);
  EXPECT_FLOAT_EQ(state.master[0], 0.85F + 0.1F / 3.0F);
}

TEST(TrainAdamW, RoundsToTheNearestBf16) {
  EXPECT_EQ(round_to_bf16(1.0F), 1.0F);
  EXPECT_EQ(round_to_bf16(1.0F + 1.0F / 256), 1.0F);             // a tie, to even
  EXPECT_EQ(round_to_bf16(1.0F + 3.0F / 256), 1.0F + 1.0F / 64);  // a tie, to even
  EXPECT_EQ(round_to_bf16(-1.0F - 1.5F / 256), -1.0F - 1.0F / 128);
  EXPECT_TRUE(std::isnan(round_to_bf16(std::nanf("1"))));
  EXPECT_TRUE(std::isinf(round_to_bf16(3.4e38F)));
}

TEST(TrainSchedule, WarmsUpThenFallsAlongACosine) {
  EXPECT_DOUBLE_EQ(lr_share(0.05, 0.1, 0.2), 0.5);
  EXPECT_DOUBLE_EQ(lr_share(0.1, 0.1, 0.2), 1.0);
  EXPECT_DOUBLE_EQ(lr_share(0.55, 0.1, 0.2), 0.6);
  EXPECT_DOUBLE_EQ(lr_share(1.0, 0.1, 0.2), 0.2);
  EXPECT_DOUBLE_EQ(lr_share(0.0, 0.0, 0.2), 1.0);
}

TEST(TrainOrder, EachEpochHoldsEveryExampleOnceInItsOwnOrder) {
  auto a = shuffled(1000, 5, 0);
  const auto b = shuffled(1000, 5, 1);
  EXPECT_NE(a, b);
  EXPECT_NE(a, shuffled(1000, 6, 0));
  EXPECT_EQ(a, shuffled(1000, 5, 0));
  std::sort(a.begin(), a.end());
  for (std::uint32_t i = 0; i < 1000; ++i) ASSERT_EQ(a[i], i);
}

}  // namespace
}  // namespace precept
