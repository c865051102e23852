// Tokens per second of the trainer's forward and backward pass on random tokens, shape "pocket", and
// its share of what the product kernel alone reaches on 512 x 512 x 512. Both take turns in the same
// run and are timed in CPU seconds of their threads, so that a busy machine disturbs both alike.
// Usage: bench_train [threads] [seconds] [bf16]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <thread>

#include "precept/core/rng.h"
#include "precept/lm/nn/llama.h"

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

template <class Work>
void on_threads(int threads, const Work& work) {
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back([&work, i] { work(i); });
  work(0);
  for (std::thread& other : others) other.join();
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

struct Counts {
  double roof_flops = 0, roof_seconds = 0, tokens = 0, seconds = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : int(std::thread::hardware_concurrency());
  const double seconds = argc > 2 ? std::atof(argv[2]) : 5.0;
  const bool bf16 = argc > 3 && std::string_view(argv[3]) == "bf16";
  if (bf16 && !precept::nn::bf16_kernels()) return std::printf("this processor has no bf16 products\n"), 2;
  const precept::nn::Kernels& kernels = bf16 ? *precept::nn::bf16_kernels() : precept::nn::kernels();
  precept::LlamaConfig config;
  config.vocab_size = 4096;
  config.hidden_size = 192;
  config.intermediate_size = 512;
  config.num_hidden_layers = 6;
  config.num_attention_heads = config.num_key_value_heads = 6;
  config.head_dim = 32;
  config.tie_word_embeddings = true;
  const precept::nn::Layout layout(config);
  precept::nn::Weights weights(layout);
  precept::Rng rng({1, 0, 0, 0});
  for (float& w : weights.flat) w = float(0.02 * rng.normal());
  weights.pack(kernels);

  std::vector<precept::TrainExample> examples(15);
  std::int64_t tokens = 0;
  for (auto& example : examples) {
    const std::size_t length = 20 + rng.below(100);
    for (std::size_t i = 0; i < length; ++i) example.tokens.push_back(std::int32_t(rng.below(4096)));
    example.weights.assign(length, 1.0F);
    tokens += std::int64_t(length);
  }
  std::vector<const precept::TrainExample*> chunk;
  for (const auto& example : examples) chunk.push_back(&example);

  std::vector<Counts> counts(static_cast<std::size_t>(threads));
  const auto start = Clock::now();
  on_threads(threads, [&](int t) {
    constexpr int n = 512;
    const auto& k = kernels;
    precept::nn::Floats a(n * n, 0.5F), packed(precept::nn::packed_size(n, n), 0.25F), c(n * n);
    precept::nn::Pass pass(layout, k);
    precept::nn::Floats gradient(layout.size);
    pass.run(weights, chunk, 1e-3F, gradient.data());
    Counts& mine = counts[static_cast<std::size_t>(t)];
    do {
      double before = cpu_seconds();
      for (int i = 0; i < 40; ++i) k.gemm(n, n, n, a.data(), n, 1, packed.data(), c.data(), n, false);
      mine.roof_flops += 40 * 2.0 * n * n * n;
      mine.roof_seconds += cpu_seconds() - before;
      before = cpu_seconds();
      pass.run(weights, chunk, 1e-3F, gradient.data());
      mine.tokens += double(tokens);
      mine.seconds += cpu_seconds() - before;
    } while (since(start) < seconds);
  });
  double gflops = 0;
  double rate = 0;
  for (const Counts& mine : counts) {
    gflops += 1e-9 * mine.roof_flops / mine.roof_seconds;
    rate += mine.tokens / mine.seconds;
  }
  // Tied: the embedding's parameters do their work in the head.
  const double work = 6e-9 * double(layout.size) * rate;
  std::printf("kernels %s, %d threads, %.2fM parameters, mean length %.0f\n", kernels.name, threads,
              double(layout.size) * 1e-6, double(tokens) / double(examples.size()));
  std::printf("roof %.0f GFLOP/s; %.0f tokens/s; %.0f GFLOP/s of 6 N work; %.0f%% of the roof\n", gflops, rate,
              work, 100.0 * work / gflops);
  return 0;
}
