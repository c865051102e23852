// precept train: sft, on the final answers of a run; dpo, reward and grpo have files of their own.

#include <filesystem>
#include <memory>

#include "cli/command.h"
#include "cli/lm_library.h"
#include "cli/matching_tokenizer.h"
#include "cli/metrics_log.h"
#include "cli/train_command.h"
#include "cli/train_set.h"
#include "precept/core/io.h"

namespace precept {

namespace {

// The one list of the options of fine-tuning.
struct SftOptions : TrainCommand {};

template <class Visit>
void for_each_field(SftOptions& o, Visit visit) {
  visit("model", o.model, "pocket, or a checkpoint folder to start from");
  visit("data", o.data, "JSONL with prompt and completion, or messages (default: sft.jsonl of --run)");
  visit("run", o.run, kRunHelp, beside());
  visit("out", o.out, "checkpoint folder to write (default: models/sl of --run; with --lora models/sl-lora)", beside());
  visit_training(o, visit);
  visit_guards(o, visit);
}

Result<int> sft(SftOptions options, const EventSink& events) {
  if (options.data.empty() && options.run.empty()) return bad_input("nothing to train on", "give --data FILE or --run DIR");
  const std::string data = options.data.empty() ? options.run + "/sft.jsonl" : options.data;
  if (const Status ready = prepare(options, "sl"); !ready) return tl::unexpected(ready.error());
  const auto files = load_matching_tokenizer(options.train.from);
  if (!files) return tl::unexpected(files.error());
  auto set = load_sft_set(data, *files);
  if (!set) {
    Error error = set.error();
    if (options.data.empty() && !std::filesystem::exists(data)) {
      error.hint = "write it first: precept export --what sft --run " + options.run + " --out " + data;
    }
    return tl::unexpected(std::move(error));
  }
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());

  if (const Status added = add_panel(options, "", {}); !added) return tl::unexpected(added.error());
  const std::string log_folder = options.run.empty() ? options.out : options.run;
  if (const Status made = make_folder(log_folder); !made) return tl::unexpected(made.error());
  MetricsLog metrics(log_folder);
  const auto summary = (*lm)->train(options.train, *set, reported(options, metrics.tee("sft", events)));
  if (!summary) return tl::unexpected(summary.error());
  options.data = data;
  return conclude_training(options, "sft", fields_of(options), *summary);
}

}  // namespace

void add_train(CLI::App& app, Context& context) {
  CLI::App* train = app.add_subcommand("train", "train a checkpoint");
  train->require_subcommand(1);
  CLI::App* command = train->add_subcommand("sft", "on the final answers of a run, or any JSONL in TRL's shapes");
  const auto options = std::make_shared<SftOptions>();
  options->train.lr = 1e-3;
  options->train.epochs = 3;
  add_recipe_command(*command, context, "sft", options, sft);
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
  add_train_dpo(*train, context);
  add_train_reward(*train, context);
  add_train_grpo(*train, context);
}

}  // namespace precept
