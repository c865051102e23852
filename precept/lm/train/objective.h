#pragma once
// Objectives of preference learning and reinforcement learning, as pure functions of log-probabilities and values: no model,
// no batch, no state. Each gives a loss and its derivative by every number that the model made, which is all that the backward
// pass needs: the gradient of a loss L is the sum over tokens of dL/dlogp times the gradient of logp.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "precept/lm/rl_options.h"

namespace precept {

// --- pairs ---

// Sums of log-probabilities of both answers of a pair, by the policy and by its frozen reference.
struct PairLogps {
  double chosen = 0, rejected = 0;
  double reference_chosen = 0, reference_rejected = 0;
  double label = 1;  // probability that `chosen` is the better one: 1 for a label that is certain
};
struct PairLoss {
  double loss = 0;
  double d_chosen = 0, d_rejected = 0;  // by the policy's two sums
  double margin = 0;                    // beta ((chosen - reference) - (rejected - reference)): the implicit reward's difference
};
// h = the margin / beta, p the label. With label smoothing e the label becomes p (1 - e) + (1 - p) e.
//   "sigmoid"  DPO, Rafailov et al. 2023, arXiv 2305.18290, equation 7: -p log s(beta h) - (1 - p) log s(-beta h). With e > 0
//              this is conservative DPO (Mitchell 2023, "A note on DPO with noisy preferences", equation 3).
//   "ipo"      Azar et al. 2023, arXiv 2310.12036, equation 17: p (h - 1 / (2 beta))^2 + (1 - p) (h + 1 / (2 beta))^2.
// Soft labels in either are the expectation over the label, which is how Mitchell derives his.
PairLoss preference_loss(const PreferenceOptions& options, const PairLogps& pair);

// Bradley-Terry on soft labels (Bradley & Terry 1952; Bai et al. 2022, arXiv 2212.08073, section 4.1): d = r1 - r2,
// -p log s(d) - (1 - p) log s(-d) + center (r1 + r2)^2; the last part (Eisenstein et al. 2023, arXiv 2312.09244) fixes the
// reward's level, which pairs leave open.
struct RewardLoss {
  double loss = 0;
  double d_first = 0, d_second = 0;
};
RewardLoss reward_loss(double first, double second, double label, double center);

// --- rollouts ---

// Advantages of one prompt's answers from their rewards:
//   "grpo"  (r - mean) / (std + 1e-4), std with n - 1 (Shao et al. 2024, arXiv 2402.03300, section 4.1.2)
//   "dr"    r - mean (Liu et al. 2025, arXiv 2503.20783: Dr. GRPO)
//   "rloo"  r - mean of the others (Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740)
// One answer alone, or all rewards the same: zeros.
std::vector<double> group_advantages(const std::string& kind, std::span<const double> rewards);

// Log-probabilities of one answer's tokens: by the policy, by the policy that sampled it, and by the reference (empty where
// kl_coef is 0).
struct RolloutLogps {
  std::span<const float> policy, rollout, reference;
  double advantage = 0;
};
struct GrpoLoss {
  double loss = 0;
  std::vector<std::vector<float>> d_logp;  // by the policy's log-probabilities
  // Over tokens:
  double kl = 0;             // mean k3 to the reference; 0 without one
  double clipped = 0;        // share whose gradient the clip cut off
  double ratio_error = 0;    // largest |ratio - 1|
  double entropy = 0;        // mean -logp of the policy on its own samples
};
// Shao et al. 2024, equation 3, with rho = exp(policy - rollout):
//   loss of a token = -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A) + kl_coef k3,
//   k3 = exp(reference - policy) - (reference - policy) - 1 (Schulman 2020, "Approximating KL divergence").
// clip_high above clip_low is DAPO's clip-higher (Yu et al. 2025, arXiv 2503.14476, equation 8). The tokens' mean is
//   "sequence"  over each answer's tokens, then over answers (GRPO)
//   "token"     over all tokens of the batch (DAPO)
//   "constant"  sum over tokens / (answers * max_new_tokens) (Dr. GRPO: no favour to short or long answers)
GrpoLoss grpo_loss(const GrpoOptions& options, const std::vector<RolloutLogps>& answers);
// Of one answer among `answers` with `tokens` in all: adds its part to `out`, d_logp included. grpo_loss is the sum of these.
void add_grpo_answer(const GrpoOptions& options, std::size_t answers, std::size_t tokens, const RolloutLogps& answer, GrpoLoss& out);

// log(1 / (1 + exp(-x))) without overflow.
double log_sigmoid(double x);

}  // namespace precept
