// precept train sft: trains a checkpoint on the final answers of a run.

#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/lm_library.h"
#include "cli/metrics_log.h"
#include "cli/open_model.h"
#include "cli/train_set.h"
#include "precept/core/io.h"

namespace precept {

// The one list of the options of training. Outside the unnamed namespace, where add_fields looks for it.
template <class Visit>
static void for_each_field(TrainOptions& o, Visit visit) {
  visit("epochs", o.epochs, "passes over the data");
  visit("lr", o.lr, "highest learning rate");
  visit("min_lr_share", o.min_lr_share, "the cosine ends at this share of the learning rate");
  visit("warmup_share", o.warmup_share, "share of all steps in which the learning rate rises");
  visit("batch_tokens", o.batch_tokens, "tokens of one step");
  visit("max_tokens", o.max_tokens, "longest example; longer ones are cut and counted");
  visit("weight_decay", o.weight_decay, "decoupled, of matrices only");
  visit("beta1", o.beta1, "AdamW");
  visit("beta2", o.beta2, "AdamW");
  visit("clip_norm", o.clip_norm, "global gradient norm; 0: none");
  visit("checkpoint_every", o.checkpoint_every, "steps between resumable states");
  visit("state", o.state, "folder of the resumable state (default: OUT.state)");
  visit("seed", o.seed, "order of the examples");
  visit("threads", o.threads, "threads; 0: all cores");
}

namespace {

struct SftOptions {
  std::string model = "pocket", data, out, run;
  bool json = false;
  TrainOptions train;
};

Result<int> sft(SftOptions options, const EventSink& events) {
  if (options.data.empty() && options.run.empty()) return bad_input("nothing to train on", "give --data FILE or --run DIR");
  const std::string data = options.data.empty() ? options.run + "/sft.jsonl" : options.data;
  const auto folder = options.model == "pocket" ? pocket_folder() : Result<std::string>(options.model);
  if (!folder) return tl::unexpected(folder.error());
  const std::string& from = *folder;
  if (options.out.empty()) {
    if (options.run.empty()) return bad_input("no --out", "name the checkpoint folder to write");
    options.out = options.run + "/models/sl";
  }
  const auto files = load_tokenizer_files(from);
  if (!files) return tl::unexpected(files.error());
  const auto set = load_sft_set(data, *files);
  if (!set) return tl::unexpected(set.error());
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());

  TrainOptions& train = options.train;
  train.from = from;
  train.out = options.out;
  if (train.state.empty()) train.state = options.out + ".state";
  const std::string log_folder = options.run.empty() ? options.out : options.run;
  if (const auto made = make_folder(log_folder); !made) return tl::unexpected(made.error());
  MetricsLog metrics(log_folder);
  const auto summary = (*lm)->train(train, *set, metrics.tee("sft", events));
  if (!summary) return tl::unexpected(summary.error());
  if (options.json) {
    const nlohmann::ordered_json out = {{"out", train.out}, {"digest", summary->digest}, {"steps", summary->steps},
                                        {"examples", summary->examples}, {"truncated", summary->truncated},
                                        {"tokens", summary->tokens}, {"trained_tokens", summary->trained_tokens},
                                        {"first_loss", summary->first_loss}, {"last_loss", summary->last_loss},
                                        {"seconds", summary->seconds}, {"tokens_per_s", summary->tokens_per_s}};
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf("%s: %lld examples, %lld steps, loss %.4f -> %.4f, %.0f tokens/s\n", train.out.c_str(),
                static_cast<long long>(summary->examples), static_cast<long long>(summary->steps), summary->first_loss,
                summary->last_loss, summary->tokens_per_s);
    if (summary->truncated > 0) {
      std::printf("%lld examples were longer than --max-tokens and were cut\n", static_cast<long long>(summary->truncated));
    }
  }
  return 0;
}

}  // namespace

void add_train(CLI::App& app, Context& context) {
  CLI::App* train = app.add_subcommand("train", "train a checkpoint");
  train->require_subcommand(1);
  CLI::App* command = train->add_subcommand("sft", "on the final answers of a run, or any JSONL in TRL's shapes");
  const auto options = std::make_shared<SftOptions>();
  options->train.lr = 1e-3;
  options->train.epochs = 3;
  command->add_option("--model", options->model, "pocket, or a checkpoint folder to start from")->capture_default_str();
  command->add_option("--data", options->data, "JSONL with prompt and completion, or messages (default: sft.jsonl of --run)");
  command->add_option("--run", options->run, "run folder");
  command->add_option("--out", options->out, "checkpoint folder to write (default: models/sl of --run)");
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
  add_fields(*command, options->train);
  command->callback([&context, options] { context.action = [&context, options] { return sft(*options, context.events); }; });
}

}  // namespace precept
