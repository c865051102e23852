#include "cli/reward_function.h"

#include "precept/core/digest.h"
#include "precept/feedback/judge_reward.h"

namespace precept {
namespace {

// A reward model as a source: one term.
class ReadRewardModel : public RewardSource {
 public:
  explicit ReadRewardModel(RewardModel& model) : model_(model) {}
  const std::vector<std::string>& terms() const override { return terms_; }
  Result<std::vector<std::vector<RewardValue>>> score(std::span<const RewardInput> answers) override {
    std::vector<Conversation> conversations;
    for (const RewardInput& answer : answers) {
      conversations.push_back(answer.messages);
      conversations.back().push_back({"assistant", answer.reply});
    }
    const auto values = model_.score(conversations);
    if (!values) return tl::unexpected(values.error());
    std::vector<std::vector<RewardValue>> out;
    for (const auto& value : *values) out.push_back({RewardValue{value, value ? "" : "cannot be read by the reward model"}});
    return out;
  }

 private:
  RewardModel& model_;
  std::vector<std::string> terms_ = {"reward_model"};
};

RolloutReward read(const Reward& reward, const RewardMix& mix) {
  RolloutReward out;
  out.total = reward.total;
  for (std::size_t t = 0; t < reward.values.size(); ++t) {
    const RewardValue& value = reward.values[t];
    if (value.value) out.terms.emplace_back(mix.terms()[t], *value.value);
    if (mix.weights()[t] == 0) continue;
    ++out.judgments;
    out.unparseable += !value.value;
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Rewarder>> Rewarder::make(const LmApi& lm, const RewardTerms& terms, const std::string& judge, const OpenOptions& open,
                                                 Constitution constitution,
                                                 const std::function<std::unique_ptr<Model>(std::unique_ptr<Model>)>& around) {
  auto rewarder = std::make_unique<Rewarder>();
  rewarder->constitution_ = std::move(constitution);
  auto templates = resolve_templates(rewarder->constitution_);
  if (!templates) return tl::unexpected(templates.error());
  rewarder->templates_ = std::move(*templates);
  std::vector<WeightedReward> sources;
  std::string identity = rewarder->constitution_.digest;
  if (terms.judge_weight != 0) {
    OpenOptions options = open;
    options.scores = true;
    auto opened = open_model(judge, options);
    if (!opened) return tl::unexpected(opened.error());
    rewarder->judge_ = around ? around(std::move(*opened)) : std::move(*opened);
    identity += " judge " + rewarder->judge_->info().digest;
    sources.push_back({std::make_shared<JudgeReward>(*rewarder->judge_, rewarder->constitution_, rewarder->templates_,
                                                     terms.judge_verdicts ? JudgeWorth::kVerdict : JudgeWorth::kProbability), {terms.judge_weight}});
  }
  if (!terms.reward_model.empty()) {
    auto model = lm.open_reward(terms.reward_model, open.engine.threads);
    if (!model) return tl::unexpected(model.error());
    rewarder->reward_model_ = std::move(*model);
    identity += " reward model " + rewarder->reward_model_->digest();
    sources.push_back({std::make_shared<ReadRewardModel>(*rewarder->reward_model_), {terms.reward_model_weight}});
  }
  if (!terms.tasks.empty()) {
    auto tasks = load_code_tasks(terms.tasks);
    if (!tasks) return tl::unexpected(tasks.error());
    auto sandbox = Sandbox::open();
    if (!sandbox) return tl::unexpected(sandbox.error());
    rewarder->tasks_ = std::move(*tasks);
    rewarder->sandbox_.emplace(std::move(*sandbox));
    identity += " tasks " + digest_of(rewarder->tasks_) + " " + code_runner_digest();
    sources.push_back({std::make_shared<CodeReward>(rewarder->tasks_, *rewarder->sandbox_, code_limits(), nullptr, nullptr), {terms.tests_weight}});
  }
  if (terms.length_weight != 0 || terms.format_weight != 0 || terms.rule_weight != 0) {
    sources.push_back({std::make_shared<TextReward>(terms.text), {terms.length_weight, terms.format_weight, terms.rule_weight}});
  }
  auto mix = RewardMix::make(std::move(sources));
  if (!mix) return tl::unexpected(mix.error());
  rewarder->mix_.emplace(std::move(*mix));
  rewarder->min_spread_ = terms.min_spread;
  RewardTerms copy = terms;
  for (const Field& field : fields_of(copy)) {
    const std::string_view name(field.name);  // what they hold counts, not where it lies
    if (name != "reward_model" && name != "tasks" && (name != "tests_weight" || !terms.tasks.empty())) identity += std::string(" ") + field.name + " " + toml_value(field.value());
  }
  rewarder->digest_ = sha256(identity);
  return rewarder;
}

RewardFunction Rewarder::function() {
  return [this](const std::vector<Rollout>& rollouts) -> Result<std::vector<RolloutReward>> {
    std::vector<RewardInput> answers;
    for (const Rollout& r : rollouts) answers.push_back({r.prompt.id, r.prompt.messages, r.text, r.tokens, r.cut, r.sample});
    auto rewards = mix_->score(answers);
    if (!rewards) return tl::unexpected(rewards.error());
    level_rewards(answers, min_spread_, *rewards);
    std::vector<RolloutReward> out;
    out.reserve(rewards->size());
    for (const Reward& reward : *rewards) out.push_back(read(reward, *mix_));
    return out;
  };
}

}  // namespace precept
