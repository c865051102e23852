#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>

#include "precept/core/rng.h"
#include "precept/lm/bench/roof.h"
#include "precept/lm/infer/device.h"
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

constexpr int kStepsBetween = 4;                 // passes over memory
constexpr std::chrono::microseconds kRest{400};  // until threads that wait for more work sleep

class Runs {
 public:
  explicit Runs(Model& model) : model_(model) {}

  // Seconds that `count` sequences take, with prompts that share no beginning with those before.
  struct Took {
    double seconds = 0;
    std::int64_t prompt_tokens = 0, new_tokens = 0;
  };
  // With `between`, some steps are followed by a pass over memory, which is not part of the time.
  struct Between {
    MemoryRoof* memory;
    double bytes = 0, seconds = 0;
  };
  Took go(int count, int prompt, int tokens, Between* between = nullptr) {
    Took took;
    auto start = Clock::now();
    for (int i = 0; i < count; ++i) {
      GenerateRequest request;
      request.raw = true;
      request.messages = {{"user", text(prompt - 1)}};  // and the begin token
      request.sampling.max_tokens = tokens;
      request.key = {1, item_, 0, 0};
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
      between->seconds += between->memory->read();
      between->bytes += static_cast<double>(MemoryRoof::kBytes);
      std::this_thread::sleep_for(kRest);
      start = Clock::now();
    }
    took.seconds += since(start);
    return took;
  }

 private:
  std::string text(int letters) {
    Rng rng({7, ++item_, 0, 0});
    std::string text;
    for (int i = 0; i < letters; ++i) text += static_cast<char>('a' + rng.below(26));
    return text;
  }
  Model& model_;
  std::uint64_t item_ = 0;
};

BenchReport::Decode decode(Runs& runs, MemoryRoof* memory, const BenchOptions& o, const LlamaConfig& c, const Roof& roof, int sequences) {
  // What the same requests take up to their first new token is taken off; the least of some tries, since others may run.
  double prefill = 1e300;
  for (int i = 0; i < 2; ++i) prefill = std::min(prefill, runs.go(sequences, o.prompt, 1).seconds);
  Runs::Between between{memory};
  const Runs::Took whole = runs.go(sequences, o.prompt, o.tokens + 1, memory != nullptr ? &between : nullptr);
  BenchReport::Decode d;
  d.sequences = sequences;
  d.seconds = whole.seconds - prefill;
  d.prompt_seconds = prefill;
  d.tokens_per_s = static_cast<double>(whole.new_tokens - sequences) / d.seconds;
  d.share_of_gemm_roof = d.tokens_per_s * 2 * products(c, true) / 1e9 / roof.gemm_gflops;
  d.memory_gbps = memory != nullptr ? between.bytes / between.seconds / 1e9 : roof.memory_gbps;
  const double bytes = o.precision == "fp32" ? 4 : 2;
  const double context = o.prompt + 0.5 * o.tokens, steps_per_s = d.tokens_per_s / sequences;
  const double cache = 2.0 * c.num_key_value_heads * c.head_dim * c.num_hidden_layers * context * sequences;
  const double weights = products(c, true) * (o.weights == "int8" ? 1 : bytes);
  d.share_of_memory_roof = steps_per_s * (weights + bytes * cache) / 1e9 / d.memory_gbps;
  return d;
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
  int most = 1;
  for (const int n : options.sequences) most = std::max(most, n);
  const std::int64_t kv = std::int64_t{4} * 2 * config->num_key_value_heads * (config->head_dim + 15) * config->num_hidden_layers;
  engine.cache_bytes = kv * (std::int64_t{most} * (options.prompt + options.tokens + 32) + 20 * (options.prefill + 32));
  Result<std::unique_ptr<Model>> model = infer::open_engine(folder.path, engine);
  if (!model) return tl::unexpected(model.error());

  say(events, "measuring the machine");
  const nn::Precision precision = options.precision == "fp32" ? nn::Precision::kFp32 : nn::Precision::kBf16;
  const Result<Roof> roof = options.device == "cpu" ? measure_roof(options.precision, options.threads) : infer::measure_device(options.device, precision);
  if (!roof) return tl::unexpected(roof.error());
  report.roof = *roof;
  report.parameters = static_cast<std::int64_t>(products(*config, true));
  report.precision = options.precision;
  report.weights = options.weights;
  report.kernels = options.device == "cpu" ? nn::row_kernels(precision).name : options.device;
  report.threads = all_threads(options.threads);
  Runs runs(**model);
  std::optional<MemoryRoof> memory;  // of this machine, not of a device
  if (options.device == "cpu") memory.emplace(all_threads(options.threads));
  runs.go(1, 16, 2);
  say(events, "prompts");
  Runs::Took prompts = runs.go(8, options.prefill, 1);
  const Runs::Took again = runs.go(8, options.prefill, 1);
  if (again.seconds < prompts.seconds) prompts = again;
  report.prefill_tokens_per_s = static_cast<double>(prompts.prompt_tokens) / prompts.seconds;
  report.prefill_share_of_gemm_roof = report.prefill_tokens_per_s * 2 * products(*config, false) / 1e9 / report.roof.gemm_gflops;
  for (const int n : options.sequences) {
    say(events, fmt::format("{} sequences", n));
    report.decode.push_back(decode(runs, memory ? &*memory : nullptr, options, *config, report.roof, n));
  }
  return report;
}

}  // namespace precept
