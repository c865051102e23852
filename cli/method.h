#pragma once
// A way to align a model, as a list of stages: what `precept compare` sets beside others. A method is a recipe (docs/formats.md): the
// table [method], and one table for each of its stages, with the keys of the command that runs this stage alone.

#include <string>
#include <vector>

#include "cli/grpo_fields.h"
#include "cli/reward_function.h"
#include "cli/train_command.h"
#include "precept/core/result.h"
#include "precept/feedback/deliberate.h"
#include "precept/lm/api.h"
#include "precept/revise/revise.h"

namespace precept {

template <class Visit>
void for_each_field(DeliberateOptions& o, Visit visit) {
  visit("rules", o.rules, "principles that stand in the request: applicable (asked of the judge) or all", one_of({"applicable", "all"}));
  visit("request", o.request, "what is asked: {prompt}, {rules} and {reasoning} (nothing without reasoning) are filled in");
  visit("samples", o.samples, "answers to one prompt, of which the first that the judge lets pass is learnt", between(1, 64));
  visit("filter", o.filter, "learn no answer that the judge does not let pass");
  visit("temperature", o.temperature, "of the answers; 0 is greedy", between(0, 10));
  visit("max_tokens", o.max_tokens, "longest answer", between(1, 1e6));
  visit("reasoning", o.reasoning, "the model reasons about the rules before it answers, and learns both; only its answers are judged and evaluated");
  visit("reasoning_request", o.reasoning_request, "what is asked for the reasoning: {prompt} and {rules} are filled in");
  visit("reasoning_max_tokens", o.reasoning_max_tokens, "longest reasoning", between(1, 1e6));
  visit("no_rule", o.no_rule, "what is learnt as reasoning where no principle applies");
}

enum class StageKind { kRevise, kDeliberate, kSft, kDpo, kGrpo, kMidtrain };
const char* stage_name(StageKind kind);  // "revise": also the name of its table

struct Method {
  std::string id;      // the file's name without .toml: names it in tables and folders
  std::string name;    // for people; the id where the recipe gives none
  std::string about;   // one sentence
  std::string listed;  // "revise, sft, grpo"
  std::vector<StageKind> stages;
  ReviseOptions revise;
  DeliberateOptions deliberate;
  TrainCommand sft, dpo, grpo, midtrain;  // of the training options
  PreferenceOptions preference;
  GrpoOptions rl;
  RewardTerms reward;
  int documents = 600;  // of midtraining

  // The options of a stage, as a table of a recipe: a name and fields, which lie in this object.
  RecipeSection section(StageKind kind);
};

// As a recipe: what a stage needs of an earlier one is there, no table is left without its stage; errors name file and line.
Result<Method> load_method(const std::string& path);

// The tables that only methods have, for commands that check whole recipes. The fields lie in `method`.
std::vector<RecipeSection> method_sections(Method& method);

}  // namespace precept
