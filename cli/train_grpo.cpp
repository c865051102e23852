// precept train grpo: reinforcement learning on the policy's own answers.

#include <memory>

#include "cli/grpo_fields.h"
#include "cli/lm_library.h"
#include "cli/metrics_log.h"
#include "cli/rl_stages.h"
#include "cli/train_command.h"
#include "precept/core/io.h"
#include "precept/feedback/solve.h"

namespace precept {
namespace {

struct GrpoCommand : TrainCommand {
  CommonOptions common;
  GrpoOptions grpo;
  RewardTerms reward;
};

template <class Visit>
void for_each_field(GrpoCommand& o, Visit visit) {
  visit("model", o.model, "pocket, or a checkpoint folder to start from; it is the reference too");
  visit("judge", o.common.judge, "the model that judges (default: the --model as it is at the start)");
  visit("prompts", o.common.prompts, "prompts file, JSONL (default: prompts.jsonl of --run)");
  visit("constitution", o.common.constitution, kConstitutionHelp);
  visit("run", o.run, kRunHelp, beside());
  visit("out", o.out, "checkpoint folder to write (default: models/rl of --run)", beside());
  for_each_field(o.grpo, visit);
  for_each_field(o.reward, visit);
  visit_training(o, visit);
  visit_guards(o, visit);
  visit("batch", o.common.batch, kBatchHelp, batch_rule());
}

// The tasks of --tasks, asked as `precept solve` asks them; else a prompts file.
Result<std::vector<Prompt>> prompts_of(GrpoCommand& options) {
  std::string& file = options.common.prompts;
  if (options.reward.tasks.empty()) {
    if (file.empty() && options.run.empty()) return bad_input("no prompts are given", "give --prompts FILE, --tasks FILE or --run DIR");
    if (file.empty()) file = options.run + "/prompts.jsonl";
    return load_prompts(file);
  }
  if (!file.empty()) return bad_input("--tasks are prompts themselves", "give --tasks or --prompts, not both");
  const auto tasks = load_code_tasks(options.reward.tasks);
  if (!tasks) return tl::unexpected(tasks.error());
  std::vector<Prompt> prompts;
  for (const CodeTask& task : *tasks) prompts.push_back({task.id, asked_for(task), {}});
  return prompts;
}

Result<int> grpo(GrpoCommand options, const EventSink& events) {
  CommonOptions& common = options.common;
  const auto prompts = prompts_of(options);
  if (!prompts) return tl::unexpected(prompts.error());
  if (const Status ready = prepare(options, "rl"); !ready) return tl::unexpected(ready.error());
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const std::string log_folder = options.run.empty() ? options.out : options.run;
  if (const Status made = make_folder(log_folder); !made) return tl::unexpected(made.error());
  MetricsLog metrics(log_folder);
  const GrpoStage stage{options.grpo, options.reward, common.judge, common.constitution, common.batch};
  const auto summary = run_grpo_stage(**lm, options, stage, *prompts, reported(options, metrics.tee("grpo", events)));
  if (!summary) return tl::unexpected(summary.error());
  return conclude_training(options, "grpo", fields_of(options), *summary);
}

}  // namespace

void add_train_grpo(CLI::App& train, Context& context) {
  CLI::App* command = train.add_subcommand("grpo", "reinforcement learning: GRPO, Dr. GRPO, DAPO or RLOO, with rewards by the constitution");
  const auto options = std::make_shared<GrpoCommand>();
  options->train.lr = 1e-4;
  options->train.weight_decay = 0;
  add_recipe_command(*command, context, "grpo", options, grpo);
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
}

}  // namespace precept
