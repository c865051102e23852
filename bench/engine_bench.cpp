// Speed of the engine at the shape of the built-in model, and as a share of what its products alone
// reach on this machine at this moment. Rates are per second of one core's time (all threads summed), so
// that they hold on a machine that is busy with other things; wall-clock rates stand beside them.
//   bench_engine [threads, default all] [rounds, default 1]

#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/lm/api.h"
#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/llama.h"
#include "precept/text/chat_format.h"

namespace precept {
namespace {

struct Seconds {
  double wall = 0, cpu = 0;
};

// Since construction; `cpu` sums all threads of this process.
class Watch {
 public:
  Watch() : wall_(Clock::now()), cpu_(cpu_now()) {}
  Seconds read() const {
    return {std::chrono::duration<double>(Clock::now() - wall_).count(), cpu_now() - cpu_};
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double cpu_now() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }
  Clock::time_point wall_;
  double cpu_;
};

void stop_on(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "bench_engine: %s\n", status.error().message().c_str());
  std::exit(3);
}

// Random words of a made-up language: enough of them for a vocabulary of 2,500.
std::string random_word(Rng& rng) {
  std::string word = " ";
  for (std::uint64_t i = 0, n = 1 + rng.below(4); i < n; ++i) {
    word += "bdfgklmnprst"[rng.below(12)];
    word += "aeiou"[rng.below(5)];
  }
  return word;
}

LlamaConfig write_model(const std::string& folder) {
  std::map<std::string, std::int64_t> words;
  Rng rng({1, 0, 0, 0});
  for (int i = 0; i < 20000; ++i) ++words[random_word(rng)];
  BpeOptions options;
  options.vocab_size = 2500;
  options.special_tokens = pocket_special_tokens();
  const Tokenizer tokenizer = *train_bpe(words, options);
  LlamaConfig c;
  c.vocab_size = tokenizer.size();
  c.hidden_size = 192;
  c.intermediate_size = 512;
  c.num_hidden_layers = 6;
  c.num_attention_heads = c.num_key_value_heads = 6;
  c.head_dim = 32;
  c.max_position_embeddings = 1024;
  c.tie_word_embeddings = true;
  const nn::Layout layout(c);
  std::vector<std::string> bytes;
  bytes.reserve(layout.params.size());
  std::vector<TensorView> views;
  for (const nn::Param& param : layout.params) {
    std::vector<float> values(param.size(), 1.0F);
    for (float& v : values) {
      if (param.cols > 0) v = static_cast<float>(0.05 * rng.normal());
    }
    bytes.push_back(to_bf16_bytes(values));
    views.push_back({param.name, Dtype::kBF16, {}, bytes.back()});
    views.back().shape = param.cols == 0 ? std::vector<std::int64_t>{param.rows}
                                         : std::vector<std::int64_t>{param.rows, param.cols};
  }
  stop_on(make_folder(folder));
  stop_on(write_safetensors(folder + "/model.safetensors", views));
  stop_on(write_file(folder + "/config.json", llama_config_json(c)));
  stop_on(write_tokenizer_files(folder, tokenizer, ChatFormat::pocket(tokenizer)));
  return c;
}

// GFLOP per core-second of the product kernel at a comfortable shape, all threads at once.
double roof(int threads) {
  constexpr int kSide = 512, kRows = 112, kRepeat = 60;
  const auto work = [] {
    const nn::Kernels& k = nn::kernels();
    std::vector<float> a(std::size_t{kRows} * kSide, 0.5F), w(std::size_t{kSide} * kSide, 0.25F),
        packed(nn::packed_size(kSide, kSide)), c(std::size_t{kRows} * kSide);
    k.pack_cols(kSide, kSide, w.data(), kSide, packed.data());
    for (int i = 0; i < kRepeat; ++i) {
      k.gemm(kRows, kSide, kSide, a.data(), kSide, 1, packed.data(), c.data(), kSide, false);
    }
  };
  work();
  const Watch watch;
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& t : others) t.join();
  return 2.0 * kRows * kSide * kSide * kRepeat * threads / watch.read().cpu / 1e9;
}

std::string text(std::uint64_t item, int words) {
  Rng rng({2, item, 0, 0});
  std::string result;
  for (int i = 0; i < words; ++i) result += random_word(rng);
  return result;
}

// Products of one token: two operations a weight, the head included.
double gflop_per_token(const LlamaConfig& c, bool head) {
  double weights = 4.0 * c.hidden_size * c.hidden_size + 3.0 * c.hidden_size * c.intermediate_size;
  weights *= c.num_hidden_layers;
  if (head) weights += static_cast<double>(c.hidden_size) * c.vocab_size;
  return 2.0 * weights / 1e9;
}

void drain(Model& model) {
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
}

void report(const char* name, std::int64_t tokens, const Seconds& seconds, double gflop, double gflops_roof) {
  const double rate = static_cast<double>(tokens) / seconds.cpu;
  std::printf("%-34s %8.0f tokens/core-s (%6.0f/s by the clock), %5.1f GFLOP/core-s in products, %3.0f%% of the roof\n",
              name, rate, static_cast<double>(tokens) / seconds.wall, rate * gflop, 100 * rate * gflop / gflops_roof);
}

int run(int threads, int rounds) {
  const std::string folder =
      (std::filesystem::temp_directory_path() / ("precept_bench_" + std::to_string(getpid()))).string();
  const LlamaConfig c = write_model(folder);
  EngineOptions options;
  options.threads = threads;
  Result<std::unique_ptr<Model>> opened = precept_lm_api()->open_checkpoint(folder, options);
  if (!opened) stop_on(tl::unexpected(opened.error()));
  Model& model = **opened;
  std::printf("%s kernels, %d threads, vocabulary %d\n", nn::kernels().name, threads, c.vocab_size);

  std::uint64_t item = 0;
  const auto submit = [&](int count, int words, int max_tokens, Usage& usage) {
    for (int i = 0; i < count; ++i) {
      GenerateRequest request;
      request.messages = {{"user", text(++item, words)}};
      request.sampling.max_tokens = max_tokens;
      request.key = {1, item, 0, 0};
      model.submit(request, [&usage](Result<Generation> g) {
        if (g) usage += g->usage;
      });
    }
  };
  for (int repeat = 0; repeat < rounds; ++repeat) {
    const double top = roof(threads);
    std::printf("product roof %30.1f GFLOP/core-s\n", top);
    Usage usage;
    const Watch prefill;
    submit(128, 100, 1, usage);
    drain(model);
    report("prefill, 128 prompts", usage.prompt_tokens, prefill.read(), gflop_per_token(c, false), top);
    usage = {};
    submit(64, 5, 2, usage);
    drain(model);
    usage = {};
    const Watch decode;
    submit(64, 5, 128, usage);
    drain(model);
    report("decode, 64 sequences to 128 tokens", usage.output_tokens, decode.read(), gflop_per_token(c, true), top);
    usage = {};
    const Watch single;
    submit(1, 5, 128, usage);
    drain(model);
    report("decode, 1 sequence", usage.output_tokens, single.read(), gflop_per_token(c, true), top);
    usage = {};
    const Watch score;
    for (int i = 0; i < 16; ++i) {
      ScoreRequest request;
      request.messages = {{"user", text(++item, 60)}};
      for (std::uint64_t q = 0; q < 24; ++q) request.questions.push_back({text(1000000 + q, 15), {"yes", "no"}});
      model.submit(request, [&usage](Result<Scores> s) {
        if (s) usage += s->usage;
      });
    }
    drain(model);
    const Seconds seconds = score.read();
    report("score, 24 questions, computed", usage.prompt_tokens - usage.cached_tokens, seconds, gflop_per_token(c, false), top);
    std::printf("%-34s %8.0f tokens/core-s of prompts, %.0f questions/core-s\n", "score, 24 questions, asked",
                static_cast<double>(usage.prompt_tokens) / seconds.cpu, 16 * 24 / seconds.cpu);
  }
  std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) {
  const int all = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = argc > 1 ? std::atoi(argv[1]) : all;
  return precept::run(threads > 0 ? threads : 1, argc > 2 ? std::atoi(argv[2]) : 1);
}
