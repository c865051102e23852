#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>

#include "precept/core/rng.h"
#include "precept/lm/bench/roof.h"
#include "precept/lm/infer/engine.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Removed in the end, unless somebody asked for it.
struct Folder {
  std::string path;
  bool keep = false;
  ~Folder() {
    std::error_code error;
    if (!keep && !path.empty()) std::filesystem::remove_all(path, error);
  }
};

// Weights that multiply for each token: all matrices; the head where logits are wanted.
double products(const LlamaConfig& c, bool head) {
  const double q = double(c.num_attention_heads) * c.head_dim, kv = double(c.num_key_value_heads) * c.head_dim;
  const double layer = c.hidden_size * (2 * q + 2 * kv) + 3.0 * c.hidden_size * c.intermediate_size;
  return layer * c.num_hidden_layers + (head ? double(c.hidden_size) * c.vocab_size : 0.0);
}

constexpr int kStepsBetween = 4;                 // as many passes over memory
constexpr std::chrono::microseconds kRest{400};  // until threads that wait for more work sleep

constexpr int kPrefills = 4, kPrefillPrompts = 4;  // the best of so many measurements of so many prompts

class Runs {
 public:
  explicit Runs(Model& model) : model_(model) {}

  // Seconds that `count` sequences take, with the prompts from the `first` on; no two of them share a beginning.
  struct Took {
    double seconds = 0;
    std::int64_t prompt_tokens = 0, new_tokens = 0;
  };
  // With `between`, some steps are followed by as many passes over as much memory as a step reads, which are not part of the
  // time. What the last cache holds of so much helps both alike.
  struct Between {
    MemoryRoof* memory;
    std::size_t step_bytes;
    double bytes = 0, seconds = 0;
  };
  Took go(std::uint64_t first, int count, int prompt, int tokens, Between* between = nullptr) {
    Took took;
    auto start = Clock::now();
    for (std::uint64_t item = first; item < first + static_cast<std::uint64_t>(count); ++item) {
      GenerateRequest request;
      request.raw = true;
      request.messages = {{"user", text(item, prompt - 1)}};  // and the begin token
      request.sampling.max_tokens = tokens;
      request.key = {1, item, 0, 0};
      model_.submit(std::move(request), [&took](Result<Generation> g) {
        if (!g) return;
        took.prompt_tokens += g->usage.prompt_tokens;
        took.new_tokens += g->usage.output_tokens;
      });
    }
    for (int step = 0; model_.advance(std::chrono::milliseconds(0)) > 0; ++step) {
      if (between == nullptr || step % kStepsBetween != 0) continue;
      took.seconds += since(start);
      std::this_thread::sleep_for(kRest);
      for (int i = 0; i < kStepsBetween; ++i) {
        between->seconds += between->memory->read(between->step_bytes);
        between->bytes += static_cast<double>(std::min(between->step_bytes, MemoryRoof::kBytes));
      }
      std::this_thread::sleep_for(kRest);
      start = Clock::now();
    }
    took.seconds += since(start);
    return took;
  }

 private:
  static std::string text(std::uint64_t item, int letters) {
    Rng rng({7, item, 0, 0});
    std::string text;
    for (int i = 0; i < letters; ++i) text += static_cast<char>('a' + rng.below(26));
    return text;
  }
  Model& model_;
};

// One measurement of decode; prompts from `first` on are this one's.
BenchReport::Decode decode(Runs& runs, MemoryRoof* memory, const BenchOptions& o, const LlamaConfig& c, const Roof& roof, std::uint64_t first,
                           int sequences, int prompt) {
  BenchReport::Decode d;
  d.sequences = sequences;
  d.prompt = prompt;
  d.prompt_seconds = runs.go(first, sequences, prompt, 1).seconds;
  // From here on the prompts are in the cache: steps are decode from the first one on, whose time is taken off.
  const double begin = std::min(runs.go(first, sequences, prompt, 1).seconds, runs.go(first, sequences, prompt, 1).seconds);
  const double bytes = o.precision == "fp32" ? 4 : 2;
  const double context = prompt + 0.5 * o.tokens;
  const double cache = 2.0 * c.num_key_value_heads * c.head_dim * c.num_hidden_layers * context * sequences;
  d.step_mb = (products(c, true) * (o.weights == "int8" ? 1 : bytes) + bytes * cache) / 1e6;
  Runs::Between between{memory, static_cast<std::size_t>(1e6 * d.step_mb)};
  const Runs::Took whole = runs.go(first, sequences, prompt, o.tokens + 1, memory != nullptr ? &between : nullptr);
  d.seconds = whole.seconds - begin;
  d.tokens_per_s = static_cast<double>(whole.new_tokens - sequences) / d.seconds;
  d.step_ms = 1e3 * sequences / d.tokens_per_s;
  d.memory_gbps = memory != nullptr ? between.bytes / between.seconds / 1e9 : roof.memory_gbps;
  d.share_of_memory_roof = d.step_mb / d.step_ms / d.memory_gbps;
  return d;
}

// Measures the machine once more; the best of all times counts, since others may be at work in any of them.
Status raise(Roof& roof, const BenchOptions& o) {
  const Result<Roof> now = measure_roof(o.precision, o.threads, o.device);
  if (!now) return tl::unexpected(now.error());
  roof = {std::max(roof.gemm_gflops, now->gemm_gflops), std::max(roof.memory_gbps, now->memory_gbps)};
  return {};
}

void say(const EventSink& events, const std::string& text) {
  if (!events) return;
  Event event;
  event.kind = Event::Kind::kNote;
  event.text = text;
  events(event);
}

}  // namespace

Result<BenchReport> bench_engine(const BenchOptions& options, const EventSink& events) {
  BenchReport report;
  Folder folder{options.shape, true};
  if (!std::filesystem::is_directory(options.shape)) {
    const Result<LlamaConfig> shape = bench_shape(options.shape);
    if (!shape) return tl::unexpected(shape.error());
    folder.keep = !options.save.empty();
    folder.path = folder.keep ? options.save : (std::filesystem::temp_directory_path() / fmt::format("precept-bench-{}", getpid())).string();
    say(events, "writing random weights of the shape " + options.shape);
    if (Status written = write_random_checkpoint(*shape, folder.path); !written) return tl::unexpected(written.error());
  }
  const Result<LlamaConfig> config = load_llama_config(folder.path);
  if (!config) return tl::unexpected(config.error());
  EngineOptions engine;
  engine.threads = options.threads;
  engine.precision = options.precision;
  engine.weights = options.weights;
  engine.device = options.device;
  engine.max_batch = 512;
  engine.claim_cache = true;  // as in a run that has used its cache up: what fresh memory costs is the system's business
  int most = 1;
  for (const int n : options.sequences) most = std::max(most, n);
  const std::int64_t kv = std::int64_t{4} * 2 * config->num_key_value_heads * (config->head_dim + 15) * config->num_hidden_layers;
  std::int64_t tokens = std::int64_t{kPrefills} * kPrefillPrompts * (options.prefill + 32);
  for (const int prompt : options.prompts) tokens += std::int64_t{most} * (prompt + options.tokens + 32);
  engine.cache_bytes = kv * tokens;
  Result<std::unique_ptr<Model>> model = infer::open_engine(folder.path, engine);
  if (!model) return tl::unexpected(model.error());

  say(events, "measuring the machine");
  if (Status measured = raise(report.roof, options); !measured) return tl::unexpected(measured.error());
  report.parameters = static_cast<std::int64_t>(products(*config, true));
  report.precision = options.precision;
  report.weights = options.weights;
  const nn::Precision precision = options.precision == "fp32" ? nn::Precision::kFp32 : nn::Precision::kBf16;
  report.kernels = options.device == "cpu" ? nn::row_kernels(precision).name : options.device;
  report.threads = all_threads(options.threads);
  Runs runs(**model);
  std::optional<MemoryRoof> memory;  // of this machine, not of a device
  if (options.device == "cpu") memory.emplace(all_threads(options.threads));
  constexpr std::uint64_t kMost = 512;  // sequences of one measurement: whose prompts are its own
  std::uint64_t first = 0;
  runs.go(first, 1, 16, 2);
  say(events, "prompts");
  for (int i = 0; i < kPrefills; ++i) {
    const Runs::Took prompts = runs.go(first += kMost, kPrefillPrompts, options.prefill, 1);
    report.prefill_tokens_per_s = std::max(report.prefill_tokens_per_s, static_cast<double>(prompts.prompt_tokens) / prompts.seconds);
  }
  if (Status measured = raise(report.roof, options); !measured) return tl::unexpected(measured.error());
  std::vector<std::vector<BenchReport::Decode>> turns;  // [sequences and prompts][turns]
  for (int turn = 0; turn < options.turns; ++turn) {
    std::size_t cell = 0;
    for (const int sequences : options.sequences) {
      for (const int prompt : options.prompts) {
        say(events, fmt::format("{} sequences, prompts of {}, {} of {}", sequences, prompt, turn + 1, options.turns));
        turns.resize(std::max(turns.size(), cell + 1));
        turns[cell++].push_back(decode(runs, memory ? &*memory : nullptr, options, *config, report.roof, first += kMost, sequences, prompt));
      }
    }
  }
  for (std::vector<BenchReport::Decode>& of : turns) {
    const auto middle = of.begin() + static_cast<std::ptrdiff_t>(of.size() / 2);
    std::nth_element(of.begin(), middle, of.end(), [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
    report.decode.push_back(*middle);
  }
  if (Status measured = raise(report.roof, options); !measured) return tl::unexpected(measured.error());
  const double gflops = report.roof.gemm_gflops;
  report.prefill_share_of_gemm_roof = report.prefill_tokens_per_s * 2 * products(*config, false) / 1e9 / gflops;
  for (BenchReport::Decode& d : report.decode) d.share_of_gemm_roof = d.tokens_per_s * 2 * products(*config, true) / 1e9 / gflops;
  return report;
}

}  // namespace precept
