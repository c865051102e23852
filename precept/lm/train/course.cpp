#include "precept/lm/train/course.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <new>
#include <thread>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/lm/infer/device.h"
#include "precept/lm/train/lora.h"
#include "precept/lm/train/steps.h"

namespace precept {
namespace {

Status check(const TrainOptions& o, std::uint64_t items) {
  if (o.out.empty()) return bad_input("training needs an output folder");
  if (items == 0) return bad_input("there are no training examples");
  if (items > (std::uint64_t{1} << 32) - 1) return bad_input("more than 4294967295 training examples");
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
  if (Status there = infer::check_device(o.device); !there) return there;
  if (o.precision == "bf16" && o.device == "cpu" && !nn::bf16_kernels()) {
    return bad_input("this processor has no bf16 products", "--precision auto takes fp32 here");
  }
  if (o.world.size < 1 || o.world.rank < 0 || o.world.rank >= o.world.size) {
    return bad_input(fmt::format("there is no process {} of {}", o.world.rank, o.world.size));
  }
  if (o.lanes < 1 || o.lanes > kMaxLanes) return bad_input(fmt::format("lanes must be between 1 and {}, not {}", kMaxLanes, o.lanes));
  if (o.device == "cpu" && o.world.size > o.lanes) {
    return bad_input(fmt::format("{} processes are too many for {} lane{}", o.world.size, o.lanes, o.lanes == 1 ? "" : "s"),
                     fmt::format("use up to {}, or more --lanes (up to {}; results depend on it)", o.lanes, kMaxLanes));
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

// A value head begins small, so that all rewards begin near 0.
void add_head(const Subject& subject, std::uint64_t seed, std::vector<float>& flat) {
  Rng rng({seed, hash64(kValueHead), 0, 0});
  for (std::size_t i = 0; i < subject.head; ++i) flat.push_back(static_cast<float>(0.02 * rng.normal()));
}

// What computes. The last bits of a run's weights depend on it.
std::string kernels_of(const TrainOptions& options) {
  if (options.device != "cpu") return options.device.substr(0, options.device.find(':'));
  return nn::kernels(options.precision == "bf16").name;
}

void add_kernels(const std::string& name, TrainState& state) {
  if (std::find(state.kernels.begin(), state.kernels.end(), name) == state.kernels.end()) state.kernels.push_back(name);
}

// Whoever compares weights must know that these are not those of a run on one kind of processor.
void tell_of_kernels(const TrainState& state, const Course& course, const EventSink& sink) {
  if (state.kernels.size() < 2 || !sink) return;
  Event event;
  event.kind = Event::Kind::kWarning;
  event.stage = course.name;
  event.text = fmt::format("this run's steps were made on different kinds of processors (kernels {}): the last bits of its weights will not be "
                           "those of a run on one kind",
                           fmt::join(state.kernels, ", "));
  sink(event);
}

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
    add_head(subject, options.seed, optimizer.master);
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

Status write_full(const TrainOptions& options, const Subject& subject, const std::vector<float>& weights, TrainSummary& summary) {
  const std::string& tokenizer = options.tokenizer_folder.empty() ? options.from : options.tokenizer_folder;
  if (Status kept = write_value_head(options.out, weights, subject.head); !kept) return kept;  // weights come last: has_weights()
  if (Status written = write_checkpoint(options.out, subject.layout, weights, tokenizer, options.shard_bytes); !written) return written;
  const Result<std::string> digest = checkpoint_digest(options.out);
  if (!digest) return tl::unexpected(digest.error());
  summary.digest = *digest;
  return {};
}

Status write_adapter(const TrainOptions& options, const Subject& subject, const std::vector<float>& flat,
                     const std::string& base_digest, TrainSummary& summary) {
  const PeftAdapter adapter = adapter_of(*subject.config, *subject.lora, flat);
  if (Status saved = save_peft(options.out, adapter, subject.layout.config); !saved) return saved;
  if (Status kept = write_value_head(options.out, flat, subject.head); !kept) return kept;
  const Result<std::string> digest = peft_digest(options.out);
  if (!digest) return tl::unexpected(digest.error());
  summary.digest = adapted_digest(base_digest, *digest);
  if (options.lora.merged.empty()) return {};
  if (Status kept = write_value_head(options.lora.merged, flat, subject.head); !kept) return kept;
  if (Status merged = merge_adapter(options.from, adapter, options.lora.merged, {std::nullopt, options.shard_bytes}); !merged) return merged;
  const Result<std::string> merged_digest = checkpoint_digest(options.lora.merged);
  if (!merged_digest) return tl::unexpected(merged_digest.error());
  summary.merged_digest = *merged_digest;
  return {};
}

TrainSummary summary_of(const TrainOptions& options, const TrainState& state, TrainSummary summary) {
  summary.precision = options.precision;
  summary.first_loss = mean_loss(state, false);
  summary.last_loss = mean_loss(state, true);
  summary.tokens_per_s = summary.seconds > 0 ? double(summary.tokens) / summary.seconds : 0.0;
  return summary;
}

// All processes go on from the same state, or they would wait for each other's batches for ever.
Status agree_on_start(World& world, std::int64_t step) {
  const std::vector<std::string> steps = world.gather(std::to_string(step));
  for (const std::string& other : steps) {
    if (other != steps.front()) {
      return bad_input(fmt::format("the processes go on from different steps ({} and {})", steps.front(), other),
                       "--state must be one folder that all processes see");
    }
  }
  return {};
}

}  // namespace

int longest_sequence(const TrainOptions& options, const LlamaConfig& config) {
  const int context = config.max_position_embeddings;
  return context > 0 ? std::min(options.max_tokens, context) : options.max_tokens;
}

std::size_t longest_of(const TrainSet& set, int limit) {
  std::atomic<std::size_t> longest{2};
  constexpr std::uint64_t kTogether = 256;
  const std::uint64_t count = set.count * static_cast<std::uint64_t>(set.group);
  const int blocks = static_cast<int>((count + kTogether - 1) / kTogether);
  share(std::max(1, int(std::thread::hardware_concurrency())), blocks, [&](int at) {
    const auto block = static_cast<std::uint64_t>(at);
    std::size_t most = 0;
    for (std::uint64_t i = block * kTogether; i < std::min(count, (block + 1) * kTogether); ++i) most = std::max(most, set.example(i).tokens.size());
    for (std::size_t was = longest; was < most && !longest.compare_exchange_weak(was, most);) {
    }
  });
  return std::min(longest.load(), static_cast<std::size_t>(limit));
}

Status rehearse(const LessonStart& start, std::size_t longest) {
  try {
    start.trainer.rehearse(longest);
  } catch (const std::bad_alloc&) {
    return failed(fmt::format("there is not enough memory to train on {} tokens at once (the longest example has {})",
                              std::max(longest, start.trainer.tokens_together()), longest),
                  start.options.device == "cpu" ? "--activation-checkpointing, --lora, fewer --threads or --lanes, or a lower --max-tokens take less"
                                                : "--activation-checkpointing, --lora, or lower --batch-tokens and --max-tokens take less");
  }
  return {};
}

Result<std::unique_ptr<Reference>> reference_of(const LessonStart& start) {
  if (start.subject.lora) return start.trainer.reference(std::nullopt);
  Result<std::vector<float>> weights = load_weights(start.options.from, start.subject.layout);
  if (!weights) return tl::unexpected(weights.error());
  return start.trainer.reference(std::move(*weights));
}

Result<TrainSummary> run_course(const TrainOptions& wanted, const Course& course, const EventSink& sink) {
  if (Status fine = check(wanted, course.items); !fine) return tl::unexpected(fine.error());
  TrainOptions options = wanted;
  if (options.precision == "auto") options.precision = nn::bf16_kernels() || options.device.rfind("cuda", 0) == 0 ? "bf16" : "fp32";
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
  Subject subject{layout, std::nullopt, std::nullopt, course.value_head ? std::size_t(layout.config.hidden_size) : 0};
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
  const std::string fingerprint = train_fingerprint(options, course, layout.config, start_digest);
  Result<std::unique_ptr<World>> world = World::join(options.world, fingerprint + kernels_of(options));
  if (!world) return tl::unexpected(world.error());
  Result<TrainState> state = begin(options, subject, fingerprint);
  if (!state) return tl::unexpected(state.error());
  if (Status agreed = agree_on_start(**world, state->optimizer.step); !agreed) return tl::unexpected(agreed.error());

  const auto opened = open_trainer(options, subject.layout, subject.lora ? &*subject.lora : nullptr, subject.head, world->get());
  if (!opened) return tl::unexpected(opened.error());
  BatchTrainer& trainer = **opened;
  if (subject.lora) trainer.freeze(std::exchange(frozen, {}));
  trainer.begin(state->optimizer);
  Result<std::unique_ptr<Lesson>> lesson = course.begin({options, subject, trainer, state->position});
  if (!lesson) return tl::unexpected(lesson.error());
  if (!(*lesson)->done()) add_kernels(kernels_of(options), *state);
  tell_of_kernels(*state, course, sink);
  const Result<std::vector<float>> weights = run_steps(options, course.items, **lesson, trainer, *state, sink);
  if (!weights) return tl::unexpected(weights.error());
  TrainSummary summary = state->summary;
  auto measures = (*lesson)->measures(trainer);
  if (!measures) return tl::unexpected(measures.error());
  summary.measures = std::move(*measures);
  if ((*world)->rank() > 0) return summary_of(options, *state, summary);
  const Status written = subject.lora ? write_adapter(options, subject, *weights, start_digest, summary)
                                      : write_full(options, subject, *weights, summary);
  if (!written) return tl::unexpected(written.error());
  return summary_of(options, *state, summary);
}

}  // namespace precept
