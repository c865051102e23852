// Whole runs of the trainers by preferences and rewards, on small random checkpoints: they learn, resume to the same bits, and the
// guards stop what collapses.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "precept/lm/nn/kernels.h"
#include "precept/lm/train/trainer.h"
#include "tests/lm/device.h"
#include "tests/lm/engine_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using engine_test::Folder;

LlamaConfig small() { return engine_test::shape_of(48, 2, 3, 3, 16, 96, true, 128); }

// Killed from inside a callback after so many calls: what is on disk then is what a SIGKILL leaves.
struct Killed {};

class RlRun : public testing::Test {
 protected:
  TrainOptions options(const std::string& name) const {
    TrainOptions o;
    o.device = test_device();
    o.from = checkpoint_.folder.path();
    o.out = folder_.path() + "/" + name;
    o.batch_tokens = 400;
    o.lr = 2e-3;
    o.weight_decay = 0;
    o.guard.on = false;
    o.checkpoint_every = 1;
    return o;
  }
  // Enough steps to learn what the pairs have in common.
  TrainOptions longer(const std::string& name) const {
    TrainOptions o = options(name);
    o.epochs = 5;
    return o;
  }
  TrainOptions resumable(const std::string& name) const {
    TrainOptions o = options(name);
    o.state = folder_.path() + "/" + name + ".state";
    return o;
  }

  // Pairs of random sequences whose chosen answer ends in a token below 100, and the rejected one in one above.
  TrainSet pairs(std::uint64_t count) const {
    TrainSet set;
    set.count = count;
    set.group = 2;
    set.digest = "pairs";
    set.example = [](std::uint64_t i) {
      Rng rng({21, i / 2, 0, 0});
      TrainExample example;
      for (int t = 0; t < 6; ++t) example.tokens.push_back(std::int32_t(4 + rng.below(200)));
      Rng own({22, i, 0, 0});
      const bool chosen = i % 2 == 0;
      for (int t = 0; t < 3; ++t) example.tokens.push_back(std::int32_t(chosen ? 4 + own.below(96) : 104 + own.below(96)));
      example.weights.assign(example.tokens.size(), 0.0F);
      for (std::size_t t = 6; t < example.weights.size(); ++t) example.weights[t] = 1.0F;
      return example;
    };
    return set;
  }

  PromptSet prompts(std::uint64_t count) const {
    return {count, [](std::uint64_t i) { return RolloutPrompt{"p" + std::to_string(i), {{"user", "tell me about the fox " + std::to_string(i)}}}; }, "prompts"};
  }

  Checkpoint checkpoint_{small(), 5};
  Folder folder_;
};

// Share of the letter e in the text: what the smallest policy can learn to write.
Result<std::vector<RolloutReward>> letters(const std::vector<Rollout>& rollouts) {
  std::vector<RolloutReward> out;
  for (const Rollout& r : rollouts) {
    const double n = static_cast<double>(std::count(r.text.begin(), r.text.end(), 'e')) / static_cast<double>(r.text.size() + 1);
    out.push_back({n, {{"letters", n}}, 1, 0});
  }
  return out;
}

GrpoOptions short_answers() {
  GrpoOptions g;
  g.prompts_per_step = 4;
  g.samples = 4;
  g.max_new_tokens = 12;
  g.kl_coef = 0;
  return g;
}

double metric(const std::vector<Event>& events, const std::string& name, bool last) {
  double value = std::nan("");
  for (const Event& e : events) {
    if (e.kind == Event::Kind::kMetric && e.name == name && (last || std::isnan(value))) value = e.value;
  }
  return value;
}

TEST_F(RlRun, DpoLearnsThePreference) {
  for (const char* loss : {"sigmoid", "ipo"}) {
    PreferenceOptions preference;
    preference.loss = loss;
    std::vector<Event> events;
    const auto summary = train_preferences(longer(loss), preference, pairs(400), [&](const Event& e) { events.push_back(e); });
    ASSERT_TRUE(summary) << summary.error().message();
    EXPECT_NEAR(metric(events, "margin", false), 0, 1e-6) << "the first step is at the reference";
    EXPECT_GT(metric(events, "implicit_accuracy", true), 0.95) << loss;
    EXPECT_LT(summary->last_loss, 0.8 * summary->first_loss) << loss;
  }
}

TEST_F(RlRun, DpoOfAnAdapterHasItsBaseAsReference) {
  TrainOptions o = longer("lora");
  o.lora.on = true;
  o.lora.rank = 4;
  o.lr = 1e-2;
  std::vector<Event> events;
  const auto summary = train_preferences(o, {}, pairs(300), [&](const Event& e) { events.push_back(e); });
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_NEAR(metric(events, "margin", false), 0, 1e-6);
  EXPECT_GT(metric(events, "implicit_accuracy", true), 0.9);
}

TEST_F(RlRun, ALabelThatDoesNotKnowTeachesNothing) {
  TrainSet set = pairs(50);
  set.label = [](std::uint64_t) { return 0.5; };
  std::vector<Event> events;
  const auto summary = train_preferences(options("unsure"), {}, set, [&](const Event& e) { events.push_back(e); });
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_NEAR(metric(events, "margin", true), 0, 1e-6);
  EXPECT_NEAR(metric(events, "grad_norm", true), 0, 1e-6);
}

TEST_F(RlRun, ARewardModelLearnsAndIsReadBack) {
  const auto summary = train_reward(longer("reward"), {}, pairs(600), pairs(100), {});
  ASSERT_TRUE(summary) << summary.error().message();
  ASSERT_EQ(summary->measures.size(), 3U);
  EXPECT_EQ(summary->measures[0].first, "held_out_accuracy");
  EXPECT_GT(*summary->measures[0].second.value, 0.95);
  EXPECT_EQ(summary->measures[0].second.n, 100);
  const auto model = open_reward(options("reward").out, 2);
  ASSERT_TRUE(model) << model.error().message();
  const Conversation fox = {{"user", "tell me"}, {"assistant", "the fox is kind"}};
  const auto values = (*model)->score({fox, {{"user", "tell me"}, {"assistant", "it"}}, fox});
  ASSERT_TRUE(values);
  ASSERT_TRUE((*values)[0] && (*values)[1] && (*values)[2]);
  EXPECT_EQ(*(*values)[0], *(*values)[2]) << "the same conversation, the same bits";
  EXPECT_NE(*(*values)[0], *(*values)[1]);
  const auto none = open_reward(checkpoint_.folder.path(), 1);
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().hint.find("train reward"), std::string::npos);
}

TEST_F(RlRun, TheNumberOfThreadsChangesNoBit) {
  TrainOptions one = options("one"), three = options("three");
  one.threads = 1;
  three.threads = 3;
  const auto a = train_reward(one, {}, pairs(60), {}, {}), b = train_reward(three, {}, pairs(60), {}, {});
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->digest, b->digest);
  const auto c = train_grpo(one, short_answers(), prompts(8), letters, {}), d = train_grpo(three, short_answers(), prompts(8), letters, {});
  ASSERT_TRUE(c && d) << c.error().message();
  EXPECT_EQ(c->digest, d->digest);
}

TEST_F(RlRun, GrpoRaisesItsReward) {
  for (const char* kind : {"grpo", "dr", "rloo"}) {
    GrpoOptions g = short_answers();
    g.advantage = kind;
    g.average = std::string(kind) == "dr" ? "constant" : std::string(kind) == "rloo" ? "token" : "sequence";
    TrainOptions o = options(kind);
    o.lr = std::string(kind) == "grpo" ? 2e-3 : 5e-3;
    std::vector<Event> events;
    const auto summary = train_grpo(o, g, prompts(160), letters, [&](const Event& e) { events.push_back(e); });
    ASSERT_TRUE(summary) << summary.error().message();
    EXPECT_GT(metric(events, "reward", true), 1.5 * metric(events, "reward", false)) << kind;
    EXPECT_EQ(summary->steps, 40);
  }
}

TEST_F(RlRun, OnTheFirstStepTheRatiosAreOne) {
  std::vector<Event> events;
  TrainOptions o = options("ratio");
  ASSERT_TRUE(train_grpo(o, short_answers(), prompts(4), letters, [&](const Event& e) { events.push_back(e); }));
  if (o.device == "cpu") {
    EXPECT_EQ(metric(events, "ratio_error", false), 0) << "engine and trainer give the same bits";
  } else {
    EXPECT_LT(metric(events, "ratio_error", false), 0.05) << "up to rounding";
  }
}

// From the second step on an adapter is not nothing: engine and trainer then add the same low-rank products.
TEST_F(RlRun, RatiosOfAnAdapterAreOneWhenItHasLearnt) {
  if (test_device() != "cpu") GTEST_SKIP() << "bits are the processor's promise";
  for (const char* precision : {"fp32", "bf16"}) {
    if (std::string(precision) == "bf16" && nn::bf16_kernels() == nullptr) continue;
    std::vector<Event> events;
    TrainOptions o = options(std::string("lora_ratio_") + precision);
    o.precision = precision;
    o.lora.on = true;
    o.lora.rank = 4;
    o.lr = 1e-2;
    GrpoOptions g = short_answers();
    g.kl_coef = 0.1;
    ASSERT_TRUE(train_grpo(o, g, prompts(12), letters, [&](const Event& e) { events.push_back(e); }));
    EXPECT_GT(metric(events, "kl", true), 0) << precision << ": the adapter has learnt";
    for (const Event& e : events) {
      if (e.kind == Event::Kind::kMetric && e.name == "ratio_error") {
        EXPECT_EQ(e.value, 0) << precision << ": engine and trainer give the same bits";
      }
    }
  }
}

TEST_F(RlRun, DynamicSamplingReplacesGroupsThatTeachNothing) {
  GrpoOptions g = short_answers();
  g.dynamic_sampling = true;
  int calls = 0;
  // Prompts of odd numbers are always worth the same.
  const RewardFunction half = [&calls](const std::vector<Rollout>& rollouts) -> Result<std::vector<RolloutReward>> {
    ++calls;
    std::vector<RolloutReward> out;
    for (const Rollout& r : rollouts) {
      const bool odd = (r.prompt.id.back() - '0') % 2 == 1;
      out.push_back({odd ? 1.0 : double(r.sample), {}, 0, 0});
    }
    return out;
  };
  std::vector<Event> events;
  const auto summary = train_grpo(options("dynamic"), g, prompts(16), half, [&](const Event& e) { events.push_back(e); });
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_EQ(summary->examples, 8 * 4) << "the even prompts alone are learnt from";
  EXPECT_EQ(calls, 4);
  EXPECT_LT(summary->steps, 4);
}

TEST_F(RlRun, AnUnscoredAnswerIsLeftOutAndCounted) {
  const RewardFunction some = [](const std::vector<Rollout>& rollouts) -> Result<std::vector<RolloutReward>> {
    auto all = *letters(rollouts);
    for (std::size_t i = 0; i < all.size(); i += 4) all[i] = {std::nullopt, {}, 1, 1};
    return all;
  };
  std::vector<Event> events;
  const auto summary = train_grpo(options("unscored"), short_answers(), prompts(4), some, [&](const Event& e) { events.push_back(e); });
  ASSERT_TRUE(summary) << summary.error().message();
  EXPECT_EQ(summary->examples, 12);
  EXPECT_NEAR(metric(events, "unscored", true), 0.25, 1e-12);
}

// Every trainer, killed after each of several calls of its data, ends with the same weights.
TEST_F(RlRun, KilledAnywhereEachTrainerEndsWithTheSameWeights) {
  int left = -1;  // calls until the kill; below 0: none
  const auto tick = [&left] {
    if (left >= 0 && left-- == 0) throw Killed{};
  };
  const auto killing = [&](TrainSet set) {
    set.label = [&tick](std::uint64_t i) {
      tick();
      return i % 3 == 0 ? 0.7 : 0.95;
    };
    return set;
  };
  GrpoOptions g = short_answers();
  g.updates = 2;
  g.kl_coef = 0.05;
  const RewardFunction reward = [&](const std::vector<Rollout>& rollouts) {
    tick();
    return letters(rollouts);
  };
  const auto guarded = [](TrainOptions o) {
    o.guard.on = true;
    o.guard.every = 2;
    o.guard.patience = 1000;
    o.guard.max_new_tokens = 8;
    o.guard.prompts = {{"g0", {{"user", "tell me"}}}, {"g1", {{"user", "about the fox"}}}};
    return o;
  };
  const std::vector<std::pair<std::string, std::function<Result<TrainSummary>(const TrainOptions&)>>> trainers = {
      {"dpo", [&](const TrainOptions& o) { return train_preferences(guarded(o), {}, killing(pairs(120)), {}); }},
      {"reward", [&](const TrainOptions& o) { return train_reward(o, {}, killing(pairs(120)), {}, {}); }},
      {"grpo", [&](const TrainOptions& o) { return train_grpo(guarded(o), g, prompts(24), reward, {}); }},
  };
  for (const auto& [name, run] : trainers) {
    left = -1;
    const auto plain = run(options(name + "-plain"));
    ASSERT_TRUE(plain) << plain.error().message();
    int kills = 0;
    Rng rng({31, hash64(name), 0, 0});
    for (bool done = false; !done;) {
      left = static_cast<int>(rng.below(name == "grpo" ? 4 : 60));
      try {
        const auto resumed = run(resumable(name));
        ASSERT_TRUE(resumed) << resumed.error().message();
        EXPECT_EQ(resumed->digest, plain->digest) << name;
        EXPECT_EQ(resumed->steps, plain->steps) << name;
        done = true;
      } catch (const Killed&) {
        ASSERT_LT(++kills, 200) << name << " gets nowhere";
      }
    }
    EXPECT_GT(kills, 0) << name;
  }
}

TEST_F(RlRun, AStateOfAnotherTrainerIsRefused) {
  TrainOptions o = resumable("mixed");
  ASSERT_TRUE(train_preferences(o, {}, pairs(20), {}));
  const auto other = train_preferences(o, {"ipo", 0.1, 0}, pairs(20), {});
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().what.find("settings"), std::string::npos) << other.error().what;
}

// No KL and a reward with a loophole: the policy repeats one thing, and is rolled back.
TEST_F(RlRun, ACollapseIsStoppedAndRolledBack) {
  TrainOptions o = options("collapse");
  o.lr = 1e-2;
  o.guard.on = true;
  o.guard.every = 5;
  o.guard.max_new_tokens = 12;
  for (int i = 0; i < 32; ++i) o.guard.prompts.push_back({"g" + std::to_string(i), {{"user", "tell me about the kind animal " + std::to_string(i)}}});
  std::vector<Event> events;
  const auto summary = train_grpo(o, short_answers(), prompts(400), letters, [&](const Event& e) { events.push_back(e); });
  ASSERT_TRUE(summary) << summary.error().message();
  ASSERT_NE(summary->halted, "") << "steps " << summary->steps;
  EXPECT_LT(summary->steps, 100);
  EXPECT_LT(summary->kept_step, summary->steps);
  EXPECT_NE(summary->halted.find("step "), std::string::npos);
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const Event& e) { return e.kind == Event::Kind::kWarning; }));
  // What is written are the weights of the step that is named.
  TrainOptions shorter = options("shorter");
  shorter.lr = 1e-2;
  ASSERT_EQ(summary->kept_step % 5, 0);
  if (summary->kept_step == 0) {
    const auto same = precept_lm_api()->open_checkpoint(o.out, {});
    ASSERT_TRUE(same);
    EXPECT_EQ((*same)->info().digest, checkpoint_.open()->info().digest);
  }
}

}  // namespace
}  // namespace precept
