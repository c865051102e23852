// precept train sft: trains a checkpoint on the final answers of a run.

#include <cstdio>
#include <filesystem>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/lm_library.h"
#include "cli/matching_tokenizer.h"
#include "cli/metrics_log.h"
#include "cli/open_model.h"
#include "cli/train_set.h"
#include "precept/checkpoint/peft.h"
#include "precept/core/io.h"

namespace precept {

namespace {

struct SftOptions {
  std::string model = "pocket", data, out, run;
  bool json = false, merge = false;
  TrainOptions train;
};

// The one list of the options of fine-tuning.
template <class Visit>
void for_each_field(SftOptions& o, Visit visit) {
  TrainOptions& t = o.train;
  visit("model", o.model, "pocket, or a checkpoint folder to start from");
  visit("data", o.data, "JSONL with prompt and completion, or messages (default: sft.jsonl of --run)");
  visit("run", o.run, kRunHelp, beside());
  visit("out", o.out, "checkpoint folder to write (default: models/sl of --run; with --lora models/sl-lora)", beside());
  visit("epochs", t.epochs, "passes over the data", between(1, 10'000));
  visit("lr", t.lr, "highest learning rate", above(0, 10));
  visit("min_lr_share", t.min_lr_share, "the cosine ends at this share of the learning rate", between(0, 1));
  visit("warmup_share", t.warmup_share, "share of all steps in which the learning rate rises", between(0, 1));
  visit("batch_tokens", t.batch_tokens, "tokens of one step", between(1, 1e9));
  visit("max_tokens", t.max_tokens, "longest example; longer ones are cut and counted", between(2, 1e6));
  visit("weight_decay", t.weight_decay, "decoupled, of matrices only", between(0, 1000));
  visit("beta1", t.beta1, "AdamW", between(0, 0.999999));
  visit("beta2", t.beta2, "AdamW", between(0, 0.999999));
  visit("clip_norm", t.clip_norm, "global gradient norm; 0: none", between(0, 1e9));
  visit("lora", t.lora.on, "train a low-rank adapter (PEFT's format) and leave the weights as they are");
  visit("lora_rank", t.lora.rank, "rank of the adapter", between(1, 65536));
  visit("lora_alpha", t.lora.alpha, "the adapter's part is scaled by alpha / rank", above(0, 1e9));
  visit("lora_targets", t.lora.targets, "matrices that it adapts, by comma, or all-linear");
  visit("lora_rslora", t.lora.rslora, "scale by alpha / sqrt(rank) instead");
  visit("merge", o.merge, "with --lora: write the merged checkpoint too, into OUT-merged");
  visit("checkpoint_every", t.checkpoint_every, "steps between resumable states", beside(between(0, 1e9)));
  visit("state", t.state, "folder of the resumable state (default: OUT.state)", beside());
  visit("precision", t.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("seed", t.seed, "order of the examples", any_seed());
  visit("threads", t.threads, kThreadsHelp, threads_rule());
}

// Nothing that was asked for is passed over in silence.
Status check_lora(SftOptions& options, const std::string& from) {
  if (is_peft_folder(from)) {
    return bad_input("is an adapter; training begins from a whole checkpoint", "train on its base, or merge it first", from);
  }
  LoraOptions& lora = options.train.lora;
  const LoraOptions plain;
  if (!lora.on && (options.merge || lora.rank != plain.rank || lora.alpha != plain.alpha || lora.targets != plain.targets || lora.rslora)) {
    return bad_input("options of an adapter are given, but no adapter is trained", "add --lora");
  }
  std::string out = options.out;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  if (options.merge) lora.merged = out + "-merged";
  return {};
}

Result<int> sft(SftOptions options, const EventSink& events) {
  if (options.data.empty() && options.run.empty()) return bad_input("nothing to train on", "give --data FILE or --run DIR");
  const std::string data = options.data.empty() ? options.run + "/sft.jsonl" : options.data;
  const auto folder = options.model == "pocket" ? pocket_folder() : Result<std::string>(options.model);
  if (!folder) return tl::unexpected(folder.error());
  const std::string& from = *folder;
  if (options.out.empty()) {
    if (options.run.empty()) return bad_input("no --out", "name the checkpoint folder to write");
    options.out = options.run + (options.train.lora.on ? "/models/sl-lora" : "/models/sl");
  }
  if (const Status fine = check_lora(options, from); !fine) return tl::unexpected(fine.error());
  const auto files = load_matching_tokenizer(from);
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

  TrainOptions& train = options.train;
  train.from = from;
  train.out = options.out;
  train.stop = interrupted;
  if (train.state.empty()) train.state = options.out + ".state";
  const std::string log_folder = options.run.empty() ? options.out : options.run;
  if (const auto made = make_folder(log_folder); !made) return tl::unexpected(made.error());
  MetricsLog metrics(log_folder);
  const auto summary = (*lm)->train(train, *set, metrics.tee("sft", events));
  if (!summary) return tl::unexpected(summary.error());
  options.data = data;
  const std::string comment = "What this model is made of, defaults included. Again: precept train sft --recipe FILE --out DIR\n"
                              "weights " + summary->digest;
  const auto kept = write_file(train.out + "/recipe.toml", recipe_text({"sft", fields_of(options)}, comment));
  if (!kept) return tl::unexpected(kept.error());
  if (options.json) {
    nlohmann::ordered_json out = {{"out", train.out}, {"digest", summary->digest}, {"steps", summary->steps},
                                        {"examples", summary->examples}, {"truncated", summary->truncated},
                                        {"precision", summary->precision}, {"tokens", summary->tokens}, {"trained_tokens", summary->trained_tokens},
                                        {"first_loss", summary->first_loss}, {"last_loss", summary->last_loss},
                                        {"seconds", summary->seconds}, {"tokens_per_s", summary->tokens_per_s}};
    if (options.merge) out["merged"] = train.lora.merged, out["merged_digest"] = summary->merged_digest;
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf("%s: %lld examples, %lld steps, loss %.4f -> %.4f, %.0f tokens/s\n", train.out.c_str(),
                static_cast<long long>(summary->examples), static_cast<long long>(summary->steps), summary->first_loss,
                summary->last_loss, summary->tokens_per_s);
    if (options.merge) std::printf("%s: the same, merged\n", train.lora.merged.c_str());
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
  add_recipe_command(*command, context, "sft", options, sft);
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
}

}  // namespace precept
