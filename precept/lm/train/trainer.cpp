#include "precept/lm/train/trainer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <exception>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <thread>

#include <fmt/format.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/lm/train/state.h"

namespace precept {
namespace {

constexpr int kLanes = 4;               // gradients summed apart, then in order
constexpr int kChunkTokens = 1024;      // tokens that run through the model together
constexpr std::size_t kBlock = 1 << 16; // elements of one partial norm
constexpr int kReportEvery = 10;        // steps

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Runs work(0..jobs-1) on `threads` threads; which thread does which does not matter to the result.
// The first exception (memory) is thrown again here.
template <class Work>
void share(int threads, int jobs, const Work& work) {
  std::atomic<int> taken{0};
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto run = [&] {
    try {
      for (int job = taken++; job < jobs; job = taken++) work(job);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!thrown) thrown = std::current_exception();
      taken = jobs;
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < std::min(threads, jobs); ++i) others.emplace_back(run);
  run();
  for (std::thread& other : others) other.join();
  if (thrown) std::rethrow_exception(thrown);
}

// A slice of one tensor, for the optimiser.
struct Slice {
  std::size_t begin, end;
  bool decay;
};

class Trainer {
 public:
  Trainer(const TrainOptions& options, const nn::Layout& layout, int threads)
      : options_(options), layout_(layout), threads_(threads), weights_(layout) {
    for (int i = 0; i < kLanes; ++i) {
      passes_.emplace_back(layout_, nn::kernels());
      gradients_[static_cast<std::size_t>(i)].resize(layout_.size);
    }
    for (const nn::Param& param : layout_.params) {
      for (std::size_t at = 0; at < param.size(); at += kBlock) {
        slices_.push_back({param.offset + at, param.offset + std::min(at + kBlock, param.size()), param.cols != 0});
      }
    }
    norms_.resize(slices_.size());
  }

  void take(const std::vector<float>& master) {
    for (std::size_t i = 0; i < master.size(); ++i) weights_.flat[i] = round_to_bf16(master[i]);
    pack();
  }

  // Mean loss and gradient of the batch; the gradient lands in lane 0.
  nn::LossSum loss_and_gradient(const Batch& batch);
  double gradient_norm() const { return std::sqrt(std::accumulate(norms_.begin(), norms_.end(), 0.0)); }
  void update(AdamW& optimizer, double lr, double scale);
  std::vector<float> weights() const { return {weights_.flat.begin(), weights_.flat.end()}; }

 private:
  void pack() {
    const int parts = 4 * threads_;
    share(threads_, parts, [&](int part) { weights_.pack(nn::kernels(), part, parts); });
  }

  const TrainOptions& options_;
  const nn::Layout& layout_;
  int threads_;
  nn::Weights weights_;
  std::vector<nn::Pass> passes_;
  std::array<nn::Floats, kLanes> gradients_;
  std::vector<Slice> slices_;
  std::vector<double> norms_;
};

nn::LossSum Trainer::loss_and_gradient(const Batch& batch) {
  double total = 0;
  for (const TrainExample& example : batch.examples) {
    for (std::size_t i = 1; i < example.weights.size(); ++i) total += double(example.weights[i]);
  }
  if (total == 0) return {};
  // The longest first, each to the lane with the least work; then chunks within the lane.
  std::vector<std::size_t> order(batch.examples.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return batch.examples[a].tokens.size() > batch.examples[b].tokens.size();
  });
  std::array<std::vector<const TrainExample*>, kLanes> lanes;
  std::array<std::size_t, kLanes> load{};
  for (const std::size_t i : order) {
    const auto lane = static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
    lanes[lane].push_back(&batch.examples[i]);
    load[lane] += batch.examples[i].tokens.size();
  }
  std::array<nn::LossSum, kLanes> sums;
  share(threads_, kLanes, [&](int job) {
    const auto lane = static_cast<std::size_t>(job);
    nn::Floats& gradient = gradients_[lane];
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    std::vector<const TrainExample*> chunk;
    std::size_t tokens = 0;
    const auto flush = [&] {
      const nn::LossSum sum = passes_[lane].run(weights_, chunk, float(1.0 / total), gradient.data());
      sums[lane].loss += sum.loss;
      sums[lane].weight += sum.weight;
      chunk.clear();
      tokens = 0;
    };
    for (const TrainExample* example : lanes[lane]) {
      if (!chunk.empty() && tokens + example->tokens.size() > kChunkTokens) flush();
      chunk.push_back(example);
      tokens += example->tokens.size();
    }
    if (!chunk.empty()) flush();
  });
  nn::LossSum sum;
  for (const nn::LossSum& lane : sums) {
    sum.loss += lane.loss;
    sum.weight += lane.weight;
  }
  share(threads_, int(slices_.size()), [&](int job) {
    const Slice& slice = slices_[static_cast<std::size_t>(job)];
    double squares = 0;
    for (std::size_t i = slice.begin; i < slice.end; ++i) {
      float g = gradients_[0][i];
      for (std::size_t lane = 1; lane < kLanes; ++lane) g += gradients_[lane][i];
      gradients_[0][i] = g;
      squares += double(g) * double(g);
    }
    norms_[static_cast<std::size_t>(job)] = squares;
  });
  return sum;
}

void Trainer::update(AdamW& optimizer, double lr, double scale) {
  ++optimizer.step;
  share(threads_, int(slices_.size()), [&](int job) {
    const Slice& slice = slices_[static_cast<std::size_t>(job)];
    adamw_update(optimizer, optimizer.step, lr, slice.decay ? optimizer.weight_decay : 0.0, float(scale),
                 gradients_[0].data(), weights_.flat.data(), slice.begin, slice.end);
  });
  pack();
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
  std::error_code error;
  if (!o.tokenizer_folder.empty() && !std::filesystem::is_directory(o.tokenizer_folder, error)) {
    return bad_input("there is no such folder of tokenizer files", "", o.tokenizer_folder);
  }
  // Better now than after the training.
  if (Status made = make_folder(o.out); !made) return made;
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

// From the current state to the end of the data.
Status run_steps(const TrainOptions& options, const TrainSet& set, const nn::Layout& layout, int threads,
                 const EventSink& sink, TrainState& state, std::vector<float>& final_weights) {
  Trainer trainer(options, layout, threads);
  trainer.take(state.optimizer.master);
  const auto total = static_cast<double>(set.count) * options.epochs;
  const Reporter report(sink, static_cast<std::int64_t>(set.count) * options.epochs);
  const int longest = layout.config.max_position_embeddings > 0
                          ? std::min(options.max_tokens, layout.config.max_position_embeddings)
                          : options.max_tokens;
  Batches batches(set, options, longest, layout.config.vocab_size, state.position);
  const double seconds_before = state.summary.seconds;
  const auto start = Clock::now();
  while (!batches.done()) {
    Result<Batch> batch = batches.next();
    if (!batch) return tl::unexpected(batch.error());
    const nn::LossSum sum = trainer.loss_and_gradient(*batch);
    state.position = batch->next;
    TrainSummary& s = state.summary;
    s.examples += static_cast<std::int64_t>(batch->examples.size());
    s.tokens += batch->tokens;
    s.trained_tokens += batch->trained_tokens;
    s.truncated += batch->truncated;
    s.seconds = seconds_before + since(start);
    if (sum.weight > 0) {
      const std::int64_t step = state.optimizer.step + 1;
      const double loss = sum.loss / sum.weight;
      const double norm = trainer.gradient_norm();
      if (!std::isfinite(loss) || !std::isfinite(norm)) {
        return failed(fmt::format("step {}: the {} is not finite", step, std::isfinite(loss) ? "gradient" : "loss"),
                      "lower the learning rate");
      }
      // The rate of a step is that of the middle of its examples, so that neither end is 0.
      const double seen = static_cast<double>(s.examples) - 0.5 * static_cast<double>(batch->examples.size());
      const double lr = options.lr * lr_share(seen / total, options.warmup_share, options.min_lr_share);
      const double clip = options.clip_norm > 0 && norm > options.clip_norm ? options.clip_norm / norm : 1.0;
      trainer.update(state.optimizer, lr, clip);
      state.losses.push_back(static_cast<float>(loss));
      state.weights.push_back(static_cast<float>(sum.weight));
      s.steps = step;
      if (step % kReportEvery == 0 || step == 1 || batches.done()) {
        report.metric("loss", step, loss);
        report.metric("lr", step, lr);
        report.metric("grad_norm", step, norm);
        report.progress(s.examples);
      }
      if (!options.state.empty() && options.checkpoint_every > 0 && step % options.checkpoint_every == 0) {
        if (Status saved = save_state(options.state, state); !saved) return saved;
      }
    }
  }
  if (state.optimizer.step == 0) {
    return bad_input("no example has a token to learn", "every weight after an example's first token is 0");
  }
  state.summary.seconds = seconds_before + since(start);
  report.progress(state.summary.examples);
  if (!options.state.empty()) {
    if (Status saved = save_state(options.state, state); !saved) return saved;
  }
  final_weights = trainer.weights();
  return {};
}

}  // namespace

Result<TrainSummary> train(const TrainOptions& options, const TrainSet& set, const EventSink& sink) {
  if (Status fine = check(options, set); !fine) return tl::unexpected(fine.error());
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
  const std::string fingerprint = train_fingerprint(options, set, layout.config, start_digest);

  TrainState state;
  if (!options.state.empty()) {
    Result<std::optional<TrainState>> loaded = load_state(options.state, fingerprint, layout.size);
    if (!loaded) return tl::unexpected(loaded.error());
    if (*loaded) state = std::move(**loaded);
  }
  if (state.optimizer.master.empty()) {
    if (options.from.empty()) {
      state.optimizer.master = initial_weights(layout, options.seed);
    } else {
      Result<std::vector<float>> weights = load_weights(options.from, layout);
      if (!weights) return tl::unexpected(weights.error());
      state.optimizer.master = std::move(*weights);
    }
    state.optimizer.mean.assign(layout.size, 0.0F);
    state.optimizer.square.assign(layout.size, 0.0F);
  }
  state.fingerprint = fingerprint;
  state.optimizer.beta1 = options.beta1;
  state.optimizer.beta2 = options.beta2;
  state.optimizer.eps = options.eps;
  state.optimizer.weight_decay = options.weight_decay;

  const int threads = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
  std::vector<float> weights;
  if (Status ran = run_steps(options, set, layout, threads, sink, state, weights); !ran) {
    return tl::unexpected(ran.error());
  }
  const std::string& tokenizer = options.tokenizer_folder.empty() ? options.from : options.tokenizer_folder;
  if (Status written = write_checkpoint(options.out, layout, weights, tokenizer); !written) {
    return tl::unexpected(written.error());
  }
  TrainSummary summary = state.summary;
  summary.first_loss = mean_loss(state, false);
  summary.last_loss = mean_loss(state, true);
  summary.tokens_per_s = summary.seconds > 0 ? double(summary.tokens) / summary.seconds : 0.0;
  const Result<std::string> digest = checkpoint_digest(options.out);
  if (!digest) return tl::unexpected(digest.error());
  summary.digest = *digest;
  return summary;
}

}  // namespace precept
