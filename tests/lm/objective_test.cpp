// Objectives against values worked by hand, against finite differences, and against plain implementations written here from the
// papers' formulas.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "precept/core/rng.h"
#include "precept/lm/train/objective.h"

namespace precept {
namespace {

// Central difference of f at x.
double slope(const std::function<double(double)>& f, double x, double h = 1e-5) { return (f(x + h) - f(x - h)) / (2 * h); }

// log sigmoid in the plainest way.
double plain_log_sigmoid(double x) { return std::log(1.0 / (1.0 + std::exp(-x))); }

TEST(Objective, LogSigmoidNeitherOverflowsNorLosesDigits) {
  EXPECT_NEAR(log_sigmoid(0), std::log(0.5), 1e-15);
  EXPECT_DOUBLE_EQ(log_sigmoid(-800), -800);
  EXPECT_EQ(log_sigmoid(800), 0);
  EXPECT_NEAR(log_sigmoid(40), -std::exp(-40.0), 1e-30);
}

// pi = ref: margin 0, loss ln 2 = 0.693147; its derivative by the chosen sum is -beta / 2.
TEST(Dpo, AtTheReferenceTheLossIsLn2) {
  const PairLoss loss = preference_loss({}, {-10, -12, -10, -12, 1.0});
  EXPECT_NEAR(loss.loss, 0.6931471805599453, 1e-15);
  EXPECT_NEAR(loss.d_chosen, -0.05, 1e-15);
  EXPECT_NEAR(loss.d_rejected, 0.05, 1e-15);
  EXPECT_EQ(loss.margin, 0);
}

// By hand: chosen rose by 2, rejected fell by 1, so h = 3; beta 0.1: margin 0.3, -log s(0.3) = 0.554355, s(0.3) - 1 = -0.425557.
TEST(Dpo, OneStepWorkedByHand) {
  const PairLoss loss = preference_loss({}, {-8, -13, -10, -12, 1.0});
  EXPECT_NEAR(loss.margin, 0.3, 1e-12);
  EXPECT_NEAR(loss.loss, 0.55435524, 1e-8);
  EXPECT_NEAR(loss.d_chosen, -0.0425557, 1e-7);
}

// By hand, beta 0.1: target 1 / 0.2 = 5; h = 3: (3 - 5)^2 = 4, slope 2 (3 - 5) = -4.
TEST(Dpo, IpoWorkedByHand) {
  PreferenceOptions ipo;
  ipo.loss = "ipo";
  const PairLoss loss = preference_loss(ipo, {-8, -13, -10, -12, 1.0});
  EXPECT_NEAR(loss.loss, 4, 1e-12);
  EXPECT_NEAR(loss.d_chosen, -4, 1e-12);
  EXPECT_NEAR(loss.d_rejected, 4, 1e-12);
}

// By hand, smoothing 0.2 at h = 3: -0.8 log s(0.3) - 0.2 log s(-0.3) = 0.8 * 0.554355 + 0.2 * 0.854355 = 0.614355.
TEST(Dpo, ConservativeWorkedByHand) {
  PreferenceOptions conservative;
  conservative.label_smoothing = 0.2;
  EXPECT_NEAR(preference_loss(conservative, {-8, -13, -10, -12, 1.0}).loss, 0.61435524, 1e-8);
  // A label that says as much is the same.
  EXPECT_NEAR(preference_loss({}, {-8, -13, -10, -12, 0.8}).loss, 0.61435524, 1e-8);
}

TEST(Dpo, EveryVariantIsItsFormulaAndItsSlope) {
  Rng rng({1, 0, 0, 0});
  for (int i = 0; i < 300; ++i) {
    PreferenceOptions o;
    o.loss = rng.chance(0.5) ? "sigmoid" : "ipo";
    o.beta = 0.02 + rng.uniform();
    o.label_smoothing = rng.chance(0.5) ? 0 : 0.4 * rng.uniform();
    const PairLogps pair{-20 * rng.uniform(), -20 * rng.uniform(), -20 * rng.uniform(), -20 * rng.uniform(), rng.uniform()};
    // The expectation over the label of the paper's loss of each outcome, with the chance e that the label is wrong.
    const auto plain = [&](double chosen, double rejected) {
      const double h = chosen - pair.reference_chosen - rejected + pair.reference_rejected;
      const double won = o.loss == "ipo" ? std::pow(h - 0.5 / o.beta, 2) : -plain_log_sigmoid(o.beta * h);
      const double lost = o.loss == "ipo" ? std::pow(-h - 0.5 / o.beta, 2) : -plain_log_sigmoid(-o.beta * h);
      const double e = o.label_smoothing;
      return pair.label * ((1 - e) * won + e * lost) + (1 - pair.label) * ((1 - e) * lost + e * won);
    };
    const PairLoss loss = preference_loss(o, pair);
    EXPECT_NEAR(loss.loss, plain(pair.chosen, pair.rejected), 1e-9 * (1 + loss.loss));
    EXPECT_NEAR(loss.d_chosen, slope([&](double x) { return plain(x, pair.rejected); }, pair.chosen), 1e-5 * (1 + std::abs(loss.d_chosen)));
    EXPECT_NEAR(loss.d_rejected, slope([&](double x) { return plain(pair.chosen, x); }, pair.rejected), 1e-5 * (1 + std::abs(loss.d_rejected)));
  }
}

// By hand: r1 - r2 = 1, -log s(1) = 0.313262; centre 0.1 (1.5 + 0.5)^2 = 0.4.
TEST(Reward, WorkedByHand) {
  EXPECT_NEAR(reward_loss(1.5, 0.5, 1, 0).loss, 0.31326169, 1e-8);
  EXPECT_NEAR(reward_loss(1.5, 0.5, 1, 0.1).loss, 0.71326169, 1e-8);
  EXPECT_NEAR(reward_loss(1.5, 0.5, 1, 0).d_first, -0.26894142, 1e-8);
  EXPECT_NEAR(reward_loss(2, 2, 0.5, 0).d_first, 0, 1e-15);  // nothing to learn from a label that does not know
}

TEST(Reward, IsItsFormulaAndItsSlope) {
  Rng rng({2, 0, 0, 0});
  for (int i = 0; i < 200; ++i) {
    const double a = 6 * rng.uniform() - 3, b = 6 * rng.uniform() - 3, p = rng.uniform(), c = 0.1 * rng.uniform();
    const auto plain = [&](double x, double y) { return -p * plain_log_sigmoid(x - y) - (1 - p) * plain_log_sigmoid(y - x) + c * (x + y) * (x + y); };
    const RewardLoss loss = reward_loss(a, b, p, c);
    EXPECT_NEAR(loss.loss, plain(a, b), 1e-12);
    EXPECT_NEAR(loss.d_first, slope([&](double x) { return plain(x, b); }, a), 1e-8);
    EXPECT_NEAR(loss.d_second, slope([&](double y) { return plain(a, y); }, b), 1e-8);
  }
}

// Rewards 1, 2, 6: mean 3, deviations -2, -1, 3; sum of squares 14, std with n - 1: sqrt(7) = 2.645751.
TEST(Advantages, WorkedByHand) {
  const std::vector<double> rewards = {1, 2, 6};
  const auto grpo = group_advantages("grpo", rewards);
  EXPECT_NEAR(grpo[0], -2 / 2.645851, 1e-6);
  EXPECT_NEAR(grpo[2], 3 / 2.645851, 1e-6);
  EXPECT_EQ(group_advantages("dr", rewards), (std::vector<double>{-2, -1, 3}));
  // Against the mean of the others: 1 - 4, 2 - 3.5, 6 - 1.5.
  const auto rloo = group_advantages("rloo", rewards);
  EXPECT_NEAR(rloo[0], -3, 1e-12);
  EXPECT_NEAR(rloo[1], -1.5, 1e-12);
  EXPECT_NEAR(rloo[2], 4.5, 1e-12);
}

TEST(Advantages, OfOneAnswerOrOfAnswersWorthTheSameAreZero) {
  for (const char* kind : {"grpo", "dr", "rloo"}) {
    EXPECT_EQ(group_advantages(kind, std::vector<double>{5}), std::vector<double>{0}) << kind;
    EXPECT_EQ(group_advantages(kind, std::vector<double>{0.1, 0.1, 0.1}), (std::vector<double>{0, 0, 0})) << kind;
  }
}

// One answer of two tokens, A = 2, on the policy: ratio 1, loss -2, derivative -2 / 2 a token; no clip.
TEST(Grpo, OnPolicyWorkedByHand) {
  GrpoOptions o;
  o.kl_coef = 0;
  const std::vector<float> logp = {-1.0F, -0.5F};
  const GrpoLoss loss = grpo_loss(o, {{logp, logp, {}, 2.0}});
  EXPECT_NEAR(loss.loss, -2, 1e-12);
  EXPECT_FLOAT_EQ(loss.d_logp[0][0], -1);
  EXPECT_FLOAT_EQ(loss.d_logp[0][1], -1);
  EXPECT_EQ(loss.ratio_error, 0);
  EXPECT_EQ(loss.clipped, 0);
  EXPECT_NEAR(loss.entropy, 0.75, 1e-12);
}

// Ratio e^0.5 = 1.6487. A = 1: clipped to 1.2, no gradient. A = -1: the minimum is the unclipped -1.6487, whose gradient stays.
TEST(Grpo, TheClipCutsOneSideAlone) {
  GrpoOptions o;
  o.kl_coef = 0;
  const std::vector<float> policy = {-0.5F}, rollout = {-1.0F};
  const GrpoLoss up = grpo_loss(o, {{policy, rollout, {}, 1.0}});
  EXPECT_NEAR(up.loss, -1.2, 1e-12);
  EXPECT_EQ(up.d_logp[0][0], 0);
  EXPECT_EQ(up.clipped, 1);
  const GrpoLoss down = grpo_loss(o, {{policy, rollout, {}, -1.0}});
  EXPECT_NEAR(down.loss, 1.6487212707, 1e-9);
  EXPECT_NEAR(down.d_logp[0][0], 1.6487212707, 1e-6);
  o.clip_high = 0.7;  // clip-higher lets it pass
  EXPECT_NEAR(grpo_loss(o, {{policy, rollout, {}, 1.0}}).loss, -1.6487212707, 1e-9);
}

// k3 at reference - policy = ln 2: 2 - ln 2 - 1 = 0.306853; its derivative by the policy is 1 - 2 = -1.
TEST(Grpo, K3WorkedByHand) {
  GrpoOptions o;
  o.kl_coef = 0.5;
  const std::vector<float> policy = {-2.0F}, reference = {-2.0F + 0.69314718F};
  const GrpoLoss loss = grpo_loss(o, {{policy, policy, reference, 0.0}});
  EXPECT_NEAR(loss.kl, 0.30685282, 1e-6);
  EXPECT_NEAR(loss.loss, 0.15342641, 1e-6);
  EXPECT_NEAR(loss.d_logp[0][0], -0.5, 1e-6);
}

// Answers of 1 and 3 tokens, A = 1 and -1, max_new_tokens 10: what a token counts is 1/2 and 1/6 (sequence), 1/4 (token), 1/20 (constant).
TEST(Grpo, AveragesWorkedByHand) {
  GrpoOptions o;
  o.kl_coef = 0;
  o.max_new_tokens = 10;
  const std::vector<float> one = {-1.0F}, three = {-1.0F, -1.0F, -1.0F};
  const std::vector<RolloutLogps> answers = {{one, one, {}, 1.0}, {three, three, {}, -1.0}};
  const auto derivatives = [&](const char* average) {
    o.average = average;
    const GrpoLoss loss = grpo_loss(o, answers);
    return std::pair{loss.d_logp[0][0], loss.d_logp[1][2]};
  };
  EXPECT_FLOAT_EQ(derivatives("sequence").first, -0.5F);
  EXPECT_FLOAT_EQ(derivatives("sequence").second, 1.0F / 6);
  EXPECT_FLOAT_EQ(derivatives("token").first, -0.25F);
  EXPECT_FLOAT_EQ(derivatives("token").second, 0.25F);
  EXPECT_FLOAT_EQ(derivatives("constant").first, -0.05F);
  EXPECT_FLOAT_EQ(derivatives("constant").second, 0.05F);
}

// The paper's equation, token by token, as plainly as it can be said.
double plain_grpo(const GrpoOptions& o, const std::vector<std::vector<double>>& policy, const std::vector<RolloutLogps>& answers) {
  double total = 0;
  std::size_t tokens = 0;
  std::vector<double> sums;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    double sum = 0;
    for (std::size_t t = 0; t < policy[i].size(); ++t) {
      const double rho = std::exp(policy[i][t]) / std::exp(double(answers[i].rollout[t]));
      const double bounded = rho < 1 - o.clip_low ? 1 - o.clip_low : rho > 1 + o.clip_high ? 1 + o.clip_high : rho;
      const double surrogate = std::min(rho * answers[i].advantage, bounded * answers[i].advantage);
      const double q = std::exp(double(answers[i].reference[t])) / std::exp(policy[i][t]);
      sum += -surrogate + o.kl_coef * (q - std::log(q) - 1);
      ++tokens;
    }
    sums.push_back(sum);
  }
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (o.average == "sequence") total += sums[i] / double(policy[i].size()) / double(sums.size());
    if (o.average == "token") total += sums[i] / double(tokens);
    if (o.average == "constant") total += sums[i] / double(o.max_new_tokens) / double(sums.size());
  }
  return total;
}

TEST(Grpo, EveryVariantIsItsFormulaAndItsSlope) {
  Rng rng({3, 0, 0, 0});
  for (int round = 0; round < 60; ++round) {
    GrpoOptions o;
    o.average = rng.pick(std::vector<std::string>{"sequence", "token", "constant"});
    o.clip_low = 0.05 + 0.3 * rng.uniform();
    o.clip_high = 0.05 + 0.5 * rng.uniform();
    o.kl_coef = 0.2 * rng.uniform();
    std::vector<std::vector<float>> policy, rollout, reference;
    std::vector<RolloutLogps> answers;
    for (int i = 0; i < 4; ++i) {
      const std::size_t n = 1 + rng.below(5);
      const auto random = [&] {
        std::vector<float> v;
        for (std::size_t t = 0; t < n; ++t) v.push_back(float(-0.1 - 2 * rng.uniform()));
        return v;
      };
      policy.push_back(random());
      rollout.push_back(random());
      reference.push_back(random());
    }
    for (std::size_t i = 0; i < 4; ++i) answers.push_back({policy[i], rollout[i], reference[i], 4 * rng.uniform() - 2});
    std::vector<std::vector<double>> exact;
    for (const auto& row : policy) exact.emplace_back(row.begin(), row.end());
    const GrpoLoss loss = grpo_loss(o, answers);
    EXPECT_NEAR(loss.loss, plain_grpo(o, exact, answers), 1e-9);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t t = 0; t < policy[i].size(); ++t) {
        const auto at = [&](double x) {
          auto moved = exact;
          moved[i][t] = x;
          return plain_grpo(o, moved, answers);
        };
        EXPECT_NEAR(loss.d_logp[i][t], slope(at, exact[i][t], 1e-6), 2e-5) << o.average << " " << round;
      }
    }
  }
}

}  // namespace
}  // namespace precept
