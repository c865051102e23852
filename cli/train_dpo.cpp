// precept train dpo: direct preference optimisation on labelled pairs.

#include <memory>

#include "cli/lm_library.h"
#include "cli/matching_tokenizer.h"
#include "cli/metrics_log.h"
#include "cli/pair_set.h"
#include "cli/train_command.h"
#include "precept/core/io.h"

namespace precept {
namespace {

struct DpoOptions : TrainCommand {
  PreferenceOptions preference;
  std::string constitution;
};

template <class Visit>
void for_each_field(DpoOptions& o, Visit visit) {
  visit("model", o.model, "pocket, or a checkpoint folder to start from; it is the reference too");
  visit("data", o.data, "JSONL with prompt, chosen, rejected and perhaps label, or hh-rlhf pairs (default: labels.jsonl of --run)");
  visit("run", o.run, kRunHelp, beside());
  visit("out", o.out, "checkpoint folder to write (default: models/dpo of --run)", beside());
  visit("constitution", o.constitution, "constitution by which the oracle of the guards' panel rules (default: the one that comes with Precept)");
  visit("loss", o.preference.loss, "sigmoid (DPO) or ipo", one_of({"sigmoid", "ipo"}));
  visit("beta", o.preference.beta, "how closely to keep to the reference", above(0, 1000));
  visit("label_smoothing", o.preference.label_smoothing, "share of labels taken to be wrong; above 0: conservative DPO", between(0, 0.499));
  visit_training(o, visit);
  visit_guards(o, visit);
}

Result<int> dpo(DpoOptions options, const EventSink& events) {
  if (options.data.empty() && options.run.empty()) return bad_input("nothing to train on", "give --data FILE or --run DIR");
  if (options.data.empty()) options.data = options.run + "/labels.jsonl";
  const auto pairs = load_pairs(options.data);
  if (!pairs) return tl::unexpected(pairs.error());
  if (const Status ready = prepare(options, "dpo"); !ready) return tl::unexpected(ready.error());
  const auto files = load_matching_tokenizer(options.train.from);
  if (!files) return tl::unexpected(files.error());
  tell_silent_answers(*pairs, reported(options, events));
  const auto set = pair_set(*pairs, *files);
  if (!set) return tl::unexpected(set.error());
  std::vector<Prompt> taken;
  for (const AnswerPair& pair : *pairs) taken.push_back({pair.id, pair.messages, {}});
  if (const Status added = add_panel(options, options.constitution, taken); !added) return tl::unexpected(added.error());
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const std::string log_folder = options.run.empty() ? options.out : options.run;
  if (const Status made = make_folder(log_folder); !made) return tl::unexpected(made.error());
  MetricsLog metrics(log_folder);
  const auto summary = (*lm)->train_preferences(options.train, options.preference, *set, reported(options, metrics.tee("dpo", events)));
  if (!summary) return tl::unexpected(summary.error());
  return conclude_training(options, "dpo", fields_of(options), *summary);
}

}  // namespace

void add_train_dpo(CLI::App& train, Context& context) {
  CLI::App* command = train.add_subcommand("dpo", "on preference labels, without a reward model (DPO, IPO, conservative DPO)");
  const auto options = std::make_shared<DpoOptions>();
  options->train.lr = 1e-4;
  options->train.epochs = 1;
  add_recipe_command(*command, context, "dpo", options, dpo);
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
}

}  // namespace precept
