#include "precept/lm/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>
#include <thread>

#include <fmt/format.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/lm/train/batch_trainer.h"
#include "precept/lm/train/lora.h"
#include "precept/lm/train/state.h"

namespace precept {
namespace {

constexpr int kReportEvery = 10;  // steps

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Status check(const TrainOptions& o, const TrainSet& set) {
  if (o.out.empty()) return bad_input("training needs an output folder");
  if (set.count == 0) return bad_input("there are no training examples");
  if (set.count > (std::uint64_t{1} << 32) - 1) return bad_input("more than 4294967295 training examples");
  if (o.epochs < 1) return bad_input("epochs must be at least 1");
  if (o.batch_tokens < 1 || o.max_tokens < 2) return bad_input("batch_tokens must be at least 1 and max_tokens at least 2");
  if (!(o.lr > 0) || !std::isfinite(o.lr)) return bad_input("lr must be a positive number");
  if (!(o.min_lr_share >= 0 && o.min_lr_share <= 1)) return bad_input("min_lr_share must be between 0 and 1");
  if (!(o.warmup_share >= 0 && o.warmup_share <= 1)) return bad_input("warmup_share must be between 0 and 1");
  if (!(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1)) return bad_input("beta1 and beta2 must be in [0, 1)");
  if (!(o.eps > 0)) return bad_input("eps must be positive");
  if (!(o.weight_decay >= 0) || !(o.clip_norm >= 0)) return bad_input("weight_decay and clip_norm must not be negative");
  if (o.precision != "auto" && o.precision != "bf16" && o.precision != "fp32") {
    return bad_input("precision must be auto, bf16 or fp32, not \"" + o.precision + "\"");
  }
  if (o.precision == "bf16" && !nn::bf16_kernels()) {
    return bad_input("this processor has no bf16 products", "--precision auto takes fp32 here");
  }
  std::error_code error;
  if (!o.tokenizer_folder.empty() && !std::filesystem::is_directory(o.tokenizer_folder, error)) {
    return bad_input("there is no such folder of tokenizer files", "", o.tokenizer_folder);
  }
  if (!o.from.empty() && is_peft_folder(o.from)) {
    return bad_input("is an adapter; training begins from a whole checkpoint", "merge it into its base first", o.from);
  }
  if (o.lora.on && o.from.empty()) return bad_input("an adapter needs a checkpoint to adapt");
  if (o.lora.on && std::filesystem::equivalent(o.from, o.out, error)) {
    return bad_input("an adapter cannot lie in its base's folder", "name another folder to write", o.out);
  }
  // Better now than after the training.
  if (Status made = make_folder(o.out); !made) return made;
  if (o.lora.on && !o.lora.merged.empty()) {
    if (Status made = make_folder(o.lora.merged); !made) return made;
  }
  if (!o.state.empty()) return make_folder(o.state);
  return {};
}

Status check_shape(const LlamaConfig& c) {
  const int dim = c.head_dim ? c.head_dim : (c.num_attention_heads > 0 ? c.hidden_size / c.num_attention_heads : 0);
  if (c.vocab_size < 2 || c.hidden_size < 1 || c.intermediate_size < 1 || c.num_hidden_layers < 1 ||
      c.num_attention_heads < 1 || c.num_key_value_heads < 1 || dim < 2) {
    return bad_input("the model's shape has a size that is missing or too small");
  }
  if (c.num_attention_heads % c.num_key_value_heads != 0) {
    return bad_input("num_key_value_heads does not divide num_attention_heads");
  }
  if (dim % 2 != 0) return bad_input("head_dim must be even");
  return {};
}

// Mean over the first (or last) 5% of steps, weighted by each step's weights.
double mean_loss(const TrainState& state, bool last) {
  const std::size_t n = state.losses.size();
  const std::size_t some = std::max<std::size_t>(1, n / 20);
  double loss = 0;
  double weight = 0;
  for (std::size_t i = 0; i < std::min(some, n); ++i) {
    const std::size_t at = last ? n - 1 - i : i;
    loss += double(state.losses[at]) * double(state.weights[at]);
    weight += double(state.weights[at]);
  }
  return weight > 0 ? loss / weight : 0.0;
}

class Reporter {
 public:
  Reporter(const EventSink& sink, std::int64_t total) : sink_(sink), total_(total) {}
  void metric(const char* name, std::int64_t step, double value) const {
    Event event;
    event.kind = Event::Kind::kMetric;
    event.stage = "train";
    event.name = name;
    event.step = step;
    event.value = value;
    if (sink_) sink_(event);
  }
  void progress(std::int64_t done) const {
    Event event;
    event.stage = "train";
    event.done = done;
    event.total = total_;
    event.unit = "examples";
    if (sink_) sink_(event);
  }

 private:
  const EventSink& sink_;
  std::int64_t total_;
};

// What is trained: all weights of the layout, or an adapter on weights that stay as they are.
struct Subject {
  const nn::Layout& layout;
  std::optional<LoraConfig> config;  // of an adapter
  std::optional<nn::LoraLayout> lora;
  std::size_t size() const { return lora ? lora->size : layout.size; }
};

// From the current state to the end of the data.
class Steps {
 public:
  Steps(const TrainOptions& options, const TrainSet& set, const Subject& subject, std::vector<float> frozen, int threads,
        const EventSink& sink, TrainState& state)
      : options_(options), state_(state),
        trainer_(options, subject.layout, subject.lora ? &*subject.lora : nullptr, threads),
        report_(sink, static_cast<std::int64_t>(set.count) * options.epochs),
        total_(static_cast<double>(set.count) * options.epochs),
        batches_(set, options, longest(options, subject.layout.config), subject.layout.config.vocab_size, state.position),
        seconds_before_(state.summary.seconds) {
    if (subject.lora) trainer_.freeze(frozen);
    trainer_.take(state.optimizer.master);
  }

  // The weights as they are written: rounded to bf16, or an adapter's as they are.
  Result<std::vector<float>> run() {
    while (!batches_.done()) {
      Result<Batch> batch = batches_.next();
      if (!batch) return tl::unexpected(batch.error());
      const nn::LossSum sum = trainer_.loss_and_gradient(*batch);
      count(*batch);
      if (sum.weight == 0) continue;
      if (Status stepped = step(*batch, sum); !stepped) return tl::unexpected(stepped.error());
    }
    if (state_.optimizer.step == 0) {
      return bad_input("no example has a token to learn", "every weight after an example's first token is 0");
    }
    state_.summary.seconds = seconds_before_ + since(start_);
    report_.progress(state_.summary.examples);
    if (Status saved = save(); !saved) return tl::unexpected(saved.error());
    return trainer_.weights();
  }

 private:
  static int longest(const TrainOptions& options, const LlamaConfig& config) {
    const int context = config.max_position_embeddings;
    return context > 0 ? std::min(options.max_tokens, context) : options.max_tokens;
  }

  void count(const Batch& batch) {
    state_.position = batch.next;
    TrainSummary& s = state_.summary;
    s.examples += static_cast<std::int64_t>(batch.examples.size());
    s.tokens += batch.tokens;
    s.trained_tokens += batch.trained_tokens;
    s.truncated += batch.truncated;
    s.seconds = seconds_before_ + since(start_);
  }

  // One step of the optimiser, with the gradient that the trainer holds.
  Status step(const Batch& batch, const nn::LossSum& sum) {
    TrainSummary& s = state_.summary;
    const std::int64_t step = state_.optimizer.step + 1;
    const double loss = sum.loss / sum.weight;
    const double norm = trainer_.gradient_norm();
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      return failed(fmt::format("step {}: the {} is not finite", step, std::isfinite(loss) ? "gradient" : "loss"),
                    "lower the learning rate");
    }
    // The rate of a step is that of the middle of its examples, so that neither end is 0.
    const double seen = static_cast<double>(s.examples) - 0.5 * static_cast<double>(batch.examples.size());
    const double lr = options_.lr * lr_share(seen / total_, options_.warmup_share, options_.min_lr_share);
    const double clip = options_.clip_norm > 0 && norm > options_.clip_norm ? options_.clip_norm / norm : 1.0;
    trainer_.update(state_.optimizer, lr, clip);
    state_.losses.push_back(static_cast<float>(loss));
    state_.weights.push_back(static_cast<float>(sum.weight));
    s.steps = step;
    if (options_.stop && options_.stop()) {
      if (Status saved = save(); !saved) return saved;
      return failed(fmt::format("stopped on request after step {}", step), "the same command goes on from there");
    }
    if (step % kReportEvery == 0 || step == 1 || batches_.done()) {
      report_.metric("loss", step, loss);
      report_.metric("lr", step, lr);
      report_.metric("grad_norm", step, norm);
      report_.progress(s.examples);
    }
    if (options_.checkpoint_every > 0 && step % options_.checkpoint_every == 0) return save();
    return {};
  }

  Status save() const { return options_.state.empty() ? Status() : save_state(options_.state, state_); }

  const TrainOptions& options_;
  TrainState& state_;
  BatchTrainer trainer_;
  Reporter report_;
  double total_;  // examples of all epochs
  Batches batches_;
  double seconds_before_;
  Clock::time_point start_ = Clock::now();
};

// Where training begins: the resumable state when there is one, else the checkpoint, else random weights.
Result<TrainState> begin(const TrainOptions& options, const Subject& subject, const std::string& fingerprint) {
  TrainState state;
  if (!options.state.empty()) {
    Result<std::optional<TrainState>> loaded = load_state(options.state, fingerprint, subject.size());
    if (!loaded) return tl::unexpected(loaded.error());
    if (*loaded) state = std::move(**loaded);
  }
  AdamW& optimizer = state.optimizer;
  if (optimizer.master.empty()) {
    if (subject.lora) {
      optimizer.master = initial_lora(*subject.lora, options.seed);
    } else if (options.from.empty()) {
      optimizer.master = initial_weights(subject.layout, options.seed);
    } else {
      Result<std::vector<float>> weights = load_weights(options.from, subject.layout);
      if (!weights) return tl::unexpected(weights.error());
      optimizer.master = std::move(*weights);
    }
    optimizer.mean.assign(subject.size(), 0.0F);
    optimizer.square.assign(subject.size(), 0.0F);
  }
  state.fingerprint = fingerprint;
  optimizer.beta1 = options.beta1;
  optimizer.beta2 = options.beta2;
  optimizer.eps = options.eps;
  optimizer.weight_decay = options.weight_decay;
  return state;
}

Status write_full(const TrainOptions& options, const nn::Layout& layout, const std::vector<float>& weights, TrainSummary& summary) {
  const std::string& tokenizer = options.tokenizer_folder.empty() ? options.from : options.tokenizer_folder;
  if (Status written = write_checkpoint(options.out, layout, weights, tokenizer); !written) return written;
  const Result<std::string> digest = checkpoint_digest(options.out);
  if (!digest) return tl::unexpected(digest.error());
  summary.digest = *digest;
  return {};
}

Status write_adapter(const TrainOptions& options, const Subject& subject, const std::vector<float>& flat,
                     const std::string& base_digest, TrainSummary& summary) {
  const PeftAdapter adapter = adapter_of(*subject.config, *subject.lora, flat);
  if (Status saved = save_peft(options.out, adapter, subject.layout.config); !saved) return saved;
  const Result<std::string> digest = peft_digest(options.out);
  if (!digest) return tl::unexpected(digest.error());
  summary.digest = adapted_digest(base_digest, *digest);
  if (options.lora.merged.empty()) return {};
  if (Status merged = merge_adapter(options.from, adapter, options.lora.merged, Dtype::kBF16); !merged) return merged;
  const Result<std::string> merged_digest = checkpoint_digest(options.lora.merged);
  if (!merged_digest) return tl::unexpected(merged_digest.error());
  summary.merged_digest = *merged_digest;
  return {};
}

}  // namespace

Result<TrainSummary> train(const TrainOptions& wanted, const TrainSet& set, const EventSink& sink) {
  if (Status fine = check(wanted, set); !fine) return tl::unexpected(fine.error());
  TrainOptions options = wanted;
  if (options.precision == "auto") options.precision = nn::bf16_kernels() ? "bf16" : "fp32";
  LlamaConfig config = options.fresh;
  std::string start_digest = "random";
  if (!options.from.empty()) {
    const Result<LlamaConfig> loaded = load_llama_config(options.from);
    if (!loaded) return tl::unexpected(loaded.error());
    config = *loaded;
    const Result<std::string> digest = checkpoint_digest(options.from);
    if (!digest) return tl::unexpected(digest.error());
    start_digest = *digest;
  }
  if (Status fine = check_shape(config); !fine) return tl::unexpected(fine.error());
  const nn::Layout layout(config);
  Subject subject{layout, std::nullopt, std::nullopt};
  std::vector<float> frozen;
  if (options.lora.on) {
    Result<LoraConfig> lora = lora_config_of(options.lora, options.from);
    if (!lora) return tl::unexpected(lora.error());
    const Result<std::vector<LoraTarget>> targets = lora_targets(*lora, layout.config);
    if (!targets) return tl::unexpected(targets.error());
    subject.config = std::move(*lora);
    subject.lora.emplace(layout.config, *targets);
    Result<std::vector<float>> weights = load_weights(options.from, layout);
    if (!weights) return tl::unexpected(weights.error());
    frozen = std::move(*weights);
  }
  const std::string fingerprint = train_fingerprint(options, set, layout.config, start_digest);

  Result<TrainState> state = begin(options, subject, fingerprint);
  if (!state) return tl::unexpected(state.error());

  const int threads = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
  const Result<std::vector<float>> weights = Steps(options, set, subject, std::move(frozen), threads, sink, *state).run();
  if (!weights) return tl::unexpected(weights.error());
  TrainSummary summary = state->summary;
  const Status written = subject.lora ? write_adapter(options, subject, *weights, start_digest, summary)
                                      : write_full(options, layout, *weights, summary);
  if (!written) return tl::unexpected(written.error());
  summary.precision = options.precision;
  summary.first_loss = mean_loss(*state, false);
  summary.last_loss = mean_loss(*state, true);
  summary.tokens_per_s = summary.seconds > 0 ? double(summary.tokens) / summary.seconds : 0.0;
  return summary;
}

}  // namespace precept
