// Group relative policy optimisation: the policy answers each prompt several times, answers are compared with those beside
// them, and better ones become more likely.

#include <algorithm>
#include <map>
#include <numeric>

#include <nlohmann/json.hpp>

#include "precept/lm/train/objective.h"
#include "precept/lm/train/probe.h"
#include "precept/lm/train/trainer.h"

namespace precept {
namespace {

constexpr std::uint32_t kRolloutStream = 200;  // RngKey::step of the answers

// One answer on its way through a step.
struct Answer {
  TrainExample example;              // weights 1 on the answer
  std::vector<float> rollout;        // log-probabilities of its tokens when it was sampled
  std::vector<float> reference;      // by the reference
  double advantage = 0;
};

// Of one batch of answers, for the log.
struct Tally {
  std::vector<double> rewards;
  std::map<std::string, std::pair<double, int>> terms;
  std::int64_t answers = 0, unscored = 0, cut = 0, tokens = 0, judgments = 0, unparseable = 0;
  std::int64_t groups = 0, flat_groups = 0;  // groups whose answers are all worth the same teach nothing

  void add(const Rollout& rollout, const RolloutReward& reward) {
    ++answers;
    cut += rollout.cut;
    tokens += rollout.tokens;
    judgments += reward.judgments;
    unparseable += reward.unparseable;
    for (const auto& [name, value] : reward.terms) terms[name].first += value, ++terms[name].second;
    if (reward.total) rewards.push_back(*reward.total);
    else ++unscored;
  }
  std::vector<std::pair<std::string, double>> metrics() const {
    std::vector<std::pair<std::string, double>> out;
    const auto share = [](std::int64_t part, std::int64_t all) { return all > 0 ? double(part) / double(all) : 0.0; };
    if (!rewards.empty()) out.emplace_back("reward", std::accumulate(rewards.begin(), rewards.end(), 0.0) / double(rewards.size()));
    for (const auto& [name, sum] : terms) out.emplace_back("reward_" + name, sum.first / sum.second);
    out.emplace_back("answer_tokens", share(tokens, answers));
    out.emplace_back("cut", share(cut, answers));
    out.emplace_back("unscored", share(unscored, answers));
    if (judgments > 0) out.emplace_back("unparseable", share(unparseable, judgments));
    out.emplace_back("flat_groups", share(flat_groups, groups));
    return out;
  }
};

// The answer's tokens out of numbers of all tokens.
std::vector<float> of_answer(const TrainExample& example, const std::vector<float>& all) {
  std::vector<float> out;
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (example.weights[i] != 0) out.push_back(all[i]);
  }
  return out;
}

class Grpo : public Lesson {
 public:
  Grpo(const LessonStart& start, const GrpoOptions& grpo, const PromptSet& prompts, const RewardFunction& reward)
      : options_(start.options), grpo_(grpo), prompts_(prompts), reward_(reward), position_(start.position),
        limit_(longest_sequence(start.options, start.subject.layout.config)) {}

  Status prepare(const LessonStart& start) {
    auto reference = reference_of(start);
    if (!reference) return tl::unexpected(reference.error());
    reference_ = std::move(*reference);
    auto policy = PolicyEngine::open(start);
    if (!policy) return tl::unexpected(policy.error());
    policy_ = std::move(*policy);
    auto files = policy_files(start.options);
    if (!files) return tl::unexpected(files.error());
    files_.emplace(std::move(*files));
    auto probe = Probe::make(start, reward_, reference_.get(), policy_.get());
    if (!probe) return tl::unexpected(probe.error());
    probe_ = std::move(*probe);
    return rehearse(start, longest());
  }

  bool done() const override { return update_ == 0 && position_.epoch >= options_.epochs; }

  Result<Taught> teach(BatchTrainer& trainer) override {
    Taught taught;
    if (update_ == 0) {
      if (Status gathered = gather(taught); !gathered) return tl::unexpected(gathered.error());
    }
    taught.next = position_;
    if (answers_.empty()) return taught;
    learn(trainer, taught);
    update_ = (update_ + 1) % grpo_.updates;
    taught.resumable = update_ == 0;
    return taught;
  }

  Result<std::optional<Reading>> look(BatchTrainer& trainer, std::int64_t step) override { return probe_->look(trainer, step); }

 private:
  // The longest answer that a prompt that fits may get, with its prompt.
  std::size_t longest() const {
    int most = 2;
    for (std::uint64_t i = 0; i < prompts_.count; ++i) {
      const auto tokens = files_->chat.render(files_->tokenizer, prompts_.prompt(i).messages, true);
      const int all = tokens ? static_cast<int>(tokens->size()) + grpo_.max_new_tokens : 0;
      if (all <= limit_) most = std::max(most, all);
    }
    return static_cast<std::size_t>(most);
  }

  // The next prompts of the order that fit the model.
  std::vector<RolloutPrompt> draw(Taught& taught) {
    std::vector<RolloutPrompt> drawn;
    while (static_cast<int>(drawn.size()) < grpo_.prompts_per_step && position_.epoch < options_.epochs) {
      if (!drawn.empty() && position_.epoch != epoch_of_draw_) break;  // a step never holds a prompt twice
      if (ordered_ != position_.epoch) {
        order_ = shuffled(prompts_.count, options_.seed, position_.epoch);
        ordered_ = position_.epoch;
      }
      RolloutPrompt prompt = prompts_.prompt(order_[position_.index]);
      epoch_of_draw_ = position_.epoch;
      if (++position_.index == prompts_.count) position_ = {position_.epoch + 1, 0};
      ++taught.used;
      const auto tokens = files_->chat.render(files_->tokenizer, prompt.messages, true);
      if (!tokens || static_cast<int>(tokens->size()) + grpo_.max_new_tokens > limit_) {
        ++taught.truncated;
        continue;
      }
      drawn.push_back(std::move(prompt));
    }
    return drawn;
  }

  // Answers to the next prompts, with advantages. Empty when nothing could be scored.
  Status gather(Taught& taught) {
    answers_.clear();
    tally_ = {};
    int groups = 0;
    for (int attempt = 0; attempt < (grpo_.dynamic_sampling ? grpo_.max_resamples : 1); ++attempt) {
      if (position_.epoch >= options_.epochs) break;
      const std::vector<RolloutPrompt> drawn = draw(taught);
      if (drawn.empty()) continue;
      if (Status answered = answer(drawn, groups); !answered) return answered;
      if (groups >= grpo_.prompts_per_step) break;
    }
    if (answers_.empty()) return {};
    std::vector<TrainExample> examples;
    for (const Answer& each : answers_) examples.push_back(each.example);
    if (grpo_.kl_coef > 0) {
      const auto reference = reference_->logprobs(examples);
      for (std::size_t i = 0; i < answers_.size(); ++i) answers_[i].reference = of_answer(examples[i], reference[i]);
    }
    for (const TrainExample& example : examples) {
      taught.tokens += static_cast<std::int64_t>(example.tokens.size());
    }
    taught.examples = static_cast<std::int64_t>(answers_.size());
    return {};
  }

  Status answer(const std::vector<RolloutPrompt>& drawn, int& groups) {
    std::vector<GenerateRequest> requests;
    for (const RolloutPrompt& prompt : drawn) {
      for (int s = 0; s < grpo_.samples; ++s) {
        GenerateRequest request;
        request.messages = prompt.messages;
        request.sampling.max_tokens = grpo_.max_new_tokens;
        request.sampling.temperature = grpo_.temperature;
        request.key = {options_.seed, hash64(prompt.id), kRolloutStream, static_cast<std::uint32_t>(epoch_of_draw_ * grpo_.samples + s)};
        request.logprobs = true;
        requests.push_back(std::move(request));
      }
    }
    const auto generations = policy_->sample(std::move(requests));
    if (!generations) return tl::unexpected(generations.error());
    std::vector<Rollout> rollouts;
    for (std::size_t i = 0; i < generations->size(); ++i) {
      const auto samples = static_cast<std::size_t>(grpo_.samples);
      rollouts.push_back(rollout_of(drawn[i / samples], static_cast<int>(i % samples), (*generations)[i]));
    }
    const auto rewards = reward_(rollouts);
    if (!rewards) return tl::unexpected(rewards.error());
    PRECEPT_CHECK(rewards->size() == rollouts.size());
    for (std::size_t i = 0; i < rollouts.size(); ++i) tally_.add(rollouts[i], (*rewards)[i]);
    for (std::size_t g = 0; g < drawn.size() && groups < grpo_.prompts_per_step; ++g) {
      if (Status added = add_group(drawn[g], g, *generations, *rewards, groups); !added) return added;
    }
    return {};
  }

  Status add_group(const RolloutPrompt& prompt, std::size_t g, const std::vector<Generation>& generations,
                   const std::vector<RolloutReward>& rewards, int& groups) {
    const auto samples = static_cast<std::size_t>(grpo_.samples);
    std::vector<double> totals;
    std::vector<std::size_t> scored;
    for (std::size_t i = g * samples; i < (g + 1) * samples; ++i) {
      if (!rewards[i].total || generations[i].tokens.empty()) continue;
      totals.push_back(*rewards[i].total);
      scored.push_back(i);
    }
    ++tally_.groups;
    const std::vector<double> advantages = group_advantages(grpo_.advantage, totals);
    const bool flat = std::all_of(advantages.begin(), advantages.end(), [](double a) { return a == 0; });
    tally_.flat_groups += flat;
    if (scored.empty() || (flat && grpo_.dynamic_sampling)) return {};
    ++groups;
    for (std::size_t k = 0; k < scored.size(); ++k) {
      const Generation& generation = generations[scored[k]];
      auto example = rollout_example(*files_, prompt.messages, generation);
      if (!example) return tl::unexpected(example.error());
      answers_.push_back({std::move(*example), generation.logprobs, {}, advantages[k]});
    }
    return {};
  }

  // The gradient of one update on the answers at hand, in one pass: a token's derivative needs its own log-probabilities, its answer's
  // advantage, and how many tokens and answers there are.
  void learn(BatchTrainer& trainer, Taught& taught) {
    std::vector<TrainExample> examples;
    std::size_t tokens = 0;
    for (const Answer& each : answers_) {
      examples.push_back(each.example);
      tokens += each.rollout.size();
    }
    const auto logps_of = [this](std::size_t i, std::span<const float> policy) {
      return RolloutLogps{policy, answers_[i].rollout, answers_[i].reference, answers_[i].advantage};
    };
    const auto logprobs = trainer.objective_gradient(examples, [&](std::size_t i, std::span<const float> policy) {
      GrpoLoss one;
      add_grpo_answer(grpo_, examples.size(), tokens, logps_of(i, policy), one);
      return std::move(one.d_logp.front());
    });
    std::vector<std::vector<float>> policy;
    for (std::size_t i = 0; i < examples.size(); ++i) policy.push_back(of_answer(examples[i], logprobs[i]));
    std::vector<RolloutLogps> logps;
    for (std::size_t i = 0; i < examples.size(); ++i) logps.push_back(logps_of(i, policy[i]));
    taught.trained_tokens += static_cast<std::int64_t>(tokens);
    const GrpoLoss loss = grpo_loss(grpo_, logps);
    taught.loss = loss.loss;
    taught.weight = static_cast<double>(taught.trained_tokens);
    taught.metrics = tally_.metrics();
    for (const auto& [name, value] : {std::pair{"kl", loss.kl}, {"clipped", loss.clipped}, {"ratio_error", loss.ratio_error}, {"entropy", loss.entropy}}) {
      taught.metrics.emplace_back(name, value);
    }
  }

  const TrainOptions& options_;
  const GrpoOptions& grpo_;
  const PromptSet& prompts_;
  const RewardFunction& reward_;
  Position position_;
  int limit_;
  std::int64_t ordered_ = -1, epoch_of_draw_ = 0;
  std::vector<std::uint32_t> order_;
  std::unique_ptr<Reference> reference_;
  std::unique_ptr<PolicyEngine> policy_;
  std::unique_ptr<Probe> probe_;
  std::optional<TokenizerFiles> files_;
  int update_ = 0;                // of those on the answers at hand
  std::vector<Answer> answers_;
  Tally tally_;
};

Status check(const GrpoOptions& o) {
  if (o.prompts_per_step < 1 || o.samples < 2) return bad_input("a step needs at least 1 prompt and 2 answers to each");
  if (o.updates < 1 || o.max_new_tokens < 1 || o.max_resamples < 1) return bad_input("updates, max_new_tokens and max_resamples must be at least 1");
  if (!(o.temperature > 0)) return bad_input("the answers' temperature must be positive", "at 0 all answers to one prompt are the same");
  if (o.advantage != "grpo" && o.advantage != "dr" && o.advantage != "rloo") return bad_input("advantage must be grpo, dr or rloo, not \"" + o.advantage + "\"");
  if (o.average != "sequence" && o.average != "token" && o.average != "constant") return bad_input("average must be sequence, token or constant, not \"" + o.average + "\"");
  if (!(o.clip_low > 0 && o.clip_low < 1 && o.clip_high > 0)) return bad_input("clip_low must be in (0, 1) and clip_high positive");
  if (!(o.kl_coef >= 0)) return bad_input("kl_coef must not be negative");
  return {};
}

std::string settings_of(const GrpoOptions& o) {
  return nlohmann::json{{"prompts_per_step", o.prompts_per_step}, {"samples", o.samples}, {"updates", o.updates}, {"max_new_tokens", o.max_new_tokens},
                        {"temperature", o.temperature}, {"advantage", o.advantage}, {"average", o.average}, {"clip_low", o.clip_low},
                        {"clip_high", o.clip_high}, {"kl_coef", o.kl_coef}, {"dynamic_sampling", o.dynamic_sampling}, {"max_resamples", o.max_resamples}}
      .dump();
}

}  // namespace

Result<TrainSummary> train_grpo(const TrainOptions& options, const GrpoOptions& grpo, const PromptSet& prompts, const RewardFunction& reward,
                                const EventSink& sink) {
  if (Status fine = check(grpo); !fine) return tl::unexpected(fine.error());
  if (options.from.empty()) return bad_input("reinforcement learning needs a model to start from");
  if (options.world.size > 1) {
    return bad_input("reinforcement learning runs in one process", "several processes train sft, dpo and reward; --threads uses all cores here");
  }
  Course course{"grpo", settings_of(grpo), prompts.digest, prompts.count, false, [&](const LessonStart& start) -> Result<std::unique_ptr<Lesson>> {
                  auto lesson = std::make_unique<Grpo>(start, grpo, prompts, reward);
                  if (Status ready = lesson->prepare(start); !ready) return tl::unexpected(ready.error());
                  return lesson;
                }};
  return run_course(options, course, sink);
}

}  // namespace precept
