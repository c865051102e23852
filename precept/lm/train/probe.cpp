#include "precept/lm/train/probe.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace precept {
namespace {

constexpr std::uint32_t kGuardStream = 210;  // RngKey::step of the guards' answers

// The answers of the first of several processes: a device's draws may differ by rounding, and all must measure the same. As CBOR, for
// texts need not be whole characters.
void take_from_first(World& world, std::vector<Generation>& answers) {
  using Json = nlohmann::json;
  Json mine = Json::array();
  for (const Generation& one : answers) {
    mine.push_back({{"text", Json::binary({one.text.begin(), one.text.end()})}, {"tokens", one.tokens}, {"logprobs", one.logprobs}, {"finish", static_cast<int>(one.finish)}});
  }
  const std::vector<std::uint8_t> bytes = Json::to_cbor(mine);
  const Json first = Json::from_cbor(world.gather({bytes.begin(), bytes.end()}).front());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const Json& one = first.at(i);
    const auto& text = one.at("text").get_binary();
    answers[i].text.assign(text.begin(), text.end());
    answers[i].tokens = one.at("tokens").get<std::vector<std::int32_t>>();
    answers[i].logprobs = one.at("logprobs").get<std::vector<float>>();
    answers[i].finish = static_cast<Finish>(one.at("finish").get<int>());
  }
}

}  // namespace

Result<std::unique_ptr<Probe>> Probe::make(const LessonStart& start, RewardFunction reward, Reference* reference, PolicyEngine* policy) {
  std::unique_ptr<Probe> probe(new Probe(start.options));
  const GuardOptions& guard = start.options.guard;
  if (!guard.on || guard.prompts.empty()) return probe;
  if (policy == nullptr) {
    auto opened = PolicyEngine::open(start);
    if (!opened) return tl::unexpected(opened.error());
    probe->own_policy_ = std::move(*opened);
    policy = probe->own_policy_.get();
  }
  auto files = policy_files(start.options);
  if (!files) return tl::unexpected(files.error());
  probe->reward_ = std::move(reward);
  probe->reference_ = reference;
  probe->policy_ = policy;
  probe->files_.emplace(std::move(*files));
  return probe;
}

Result<std::vector<Generation>> Probe::answers(World* world) {
  std::vector<GenerateRequest> requests;
  for (const RolloutPrompt& prompt : options_.guard.prompts) {
    GenerateRequest request;
    request.messages = prompt.messages;
    request.sampling.max_tokens = options_.guard.max_new_tokens;
    request.key = {options_.seed, hash64(prompt.id), kGuardStream, 0};
    request.logprobs = true;
    requests.push_back(std::move(request));
  }
  Result<std::vector<Generation>> all = policy_->sample(std::move(requests));
  if (all && options_.device != "cpu" && world != nullptr && world->size() > 1) take_from_first(*world, *all);
  return all;
}

Status Probe::measure_kl(BatchTrainer& trainer, const std::vector<Generation>& answers, Reading& reading) {
  std::vector<TrainExample> examples;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    auto example = rollout_example(*files_, options_.guard.prompts[i].messages, answers[i]);
    if (!example) return tl::unexpected(example.error());
    examples.push_back(std::move(*example));
  }
  const auto policy = trainer.logprobs(examples), reference = reference_->logprobs(examples);
  double sum = 0;
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    for (std::size_t t = 1; t < examples[i].tokens.size(); ++t) {
      if (examples[i].weights[t] == 0) continue;
      const double gap = double(reference[i][t]) - double(policy[i][t]);
      sum += std::exp(gap) - gap - 1;
      ++tokens;
    }
  }
  if (tokens > 0) reading.kl = sum / static_cast<double>(tokens);
  return {};
}

Status Probe::measure_worth(const std::vector<Rollout>& rollouts, Reading& reading) {
  if (reward_) {
    const auto rewards = reward_(rollouts);
    if (!rewards) return tl::unexpected(rewards.error());
    double sum = 0;
    int scored = 0, judgments = 0, unparseable = 0;
    for (const RolloutReward& reward : *rewards) {
      judgments += reward.judgments;
      unparseable += reward.unparseable;
      if (!reward.total) continue;
      sum += *reward.total;
      ++scored;
    }
    if (scored > 0) reading.reward = sum / scored;
    if (judgments > 0) reading.unparseable = double(unparseable) / judgments;
  }
  if (options_.guard.truth) {
    const auto truth = options_.guard.truth(rollouts);
    if (!truth) return tl::unexpected(truth.error());
    reading.truth_n = truth->n;
    if (truth->n > 0) reading.truth = double(truth->right) / double(truth->n);
  }
  return {};
}

Result<std::optional<Reading>> Probe::look(BatchTrainer& trainer, std::int64_t step) {
  if (policy_ == nullptr) return std::optional<Reading>();
  const auto all = answers(trainer.world());
  if (!all) return tl::unexpected(all.error());
  Reading reading;
  reading.step = step;
  std::vector<ProbedAnswer> probed;
  std::vector<Rollout> rollouts;
  for (std::size_t i = 0; i < all->size(); ++i) {
    const Generation& answer = (*all)[i];
    std::vector<std::int32_t> tokens = answer.tokens;
    if (answer.finish == Finish::kStop && !tokens.empty()) tokens.pop_back();
    probed.push_back({std::move(tokens), answer.logprobs});
    rollouts.push_back(rollout_of(options_.guard.prompts[i], 0, answer));
  }
  measure_answers(probed, reading);
  if (reference_) {
    if (Status measured = measure_kl(trainer, *all, reading); !measured) return tl::unexpected(measured.error());
  }
  if (Status measured = measure_worth(rollouts, reading); !measured) return tl::unexpected(measured.error());
  return std::optional<Reading>(reading);
}

}  // namespace precept
