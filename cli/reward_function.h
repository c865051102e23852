#pragma once
// From options to the reward of reinforcement learning: which terms, what they count, and the models behind them.

#include <functional>
#include <memory>

#include "cli/open_model.h"
#include "precept/constitution/constitution.h"
#include "precept/core/fields.h"
#include "precept/feedback/code_reward.h"
#include "precept/feedback/reward_source.h"
#include "precept/feedback/text_reward.h"
#include "precept/lm/api.h"

namespace precept {

struct RewardTerms {
  double judge_weight = 1;
  bool judge_verdicts = false;
  std::string reward_model;        // folder
  double reward_model_weight = 1;  // where one is given
  std::string tasks;               // programming tasks, whose tests are a reward
  double tests_weight = 1;         // where they are given
  double min_spread = 0;           // answers to one prompt that differ by no more are worth the same: their mean
  double length_weight = 0, format_weight = 0, rule_weight = 0;
  TextRewardOptions text;
};

template <class Visit>
void for_each_field(RewardTerms& o, Visit visit) {
  const FieldRule weight = between(-1e6, 1e6);
  visit("judge_weight", o.judge_weight, "what the AI judge counts: the probability that the principle kept least is kept; 0: no judge", weight);
  visit("judge_verdicts", o.judge_verdicts, "of the judge only its verdict counts, 1 or 0, not the probability");
  visit("reward_model", o.reward_model, "folder of a reward model (precept train reward)");
  visit("reward_model_weight", o.reward_model_weight, "what the reward model counts", weight);
  visit("tasks", o.tasks, "programming tasks with tests (HumanEval's shape): the prompts, asked as precept solve asks, and a reward for programs that pass");
  visit("tests_weight", o.tests_weight, "what passing the tests of --tasks counts: 1 or 0", weight);
  visit("min_spread", o.min_spread, "answers to one prompt whose rewards differ by no more than this are worth the same", between(0, 1e6));
  visit("length_weight", o.length_weight, "what length counts: 0 up to --most-tokens, then less", weight);
  visit("format_weight", o.format_weight, "what form counts: 1 for an answer that is whole", weight);
  visit("rule_weight", o.rule_weight, "what the rule of phrases counts: 1 where it is kept", weight);
  visit("most_tokens", o.text.most_tokens, "length from which an answer loses; 0: none", between(0, 1e6));
  visit("must_contain", o.text.must_contain, "phrases, separated by |, of which an answer must have one");
  visit("must_not_contain", o.text.must_not_contain, "phrases, separated by |, of which an answer must have none");
}

// What a reward is computed with; it must outlive the function that is made of it.
class Rewarder {
 public:
  // `judge` is a model URI, opened when the judge counts; `around`, if any, is then put round it.
  static Result<std::unique_ptr<Rewarder>> make(const LmApi& lm, const RewardTerms& terms, const std::string& judge, const OpenOptions& open,
                                                Constitution constitution,
                                                const std::function<std::unique_ptr<Model>(std::unique_ptr<Model>)>& around = {});
  RewardFunction function();
  const std::string& digest() const { return digest_; }  // of everything that decides a reward

 private:
  Constitution constitution_;
  Templates templates_;
  std::unique_ptr<Model> judge_;
  std::unique_ptr<RewardModel> reward_model_;
  std::vector<CodeTask> tasks_;
  std::optional<Sandbox> sandbox_;
  std::optional<RewardMix> mix_;
  double min_spread_ = 0;
  std::string digest_;
};

}  // namespace precept
