// Steps of the trainer on random tokens: tokens a second, their share of the products' roof measured in the same run, and the most
// memory that was resident. A step is what a training run does with a batch: forwards, backwards, sum of lanes, optimiser.
//
//   bench_train --shape 135m --train sft        packed rows of 512 tokens, full fine-tuning
//   bench_train --train lora | grpo             an adapter; GRPO's update on given answers (without sampling them)
//   bench_train --vocab 128256 --full-logits    memory of a loss that holds all logits and their gradient, as a comparison
//   RANK=0 WORLD_SIZE=2 taskset -c 0 bench_train --threads 1 & RANK=1 WORLD_SIZE=2 taskset -c 1 bench_train --threads 1
//                                               two processes that train together; tokens a second are of both
//   bench_train --threads 2 --lanes 2           two gradients in memory instead of three
//   bench_train --device cuda --shape 1b        on a GPU (docs/gpu.md); the roof is that device's, the memory still the host's
//
// Work: 6 operations for each parameter that multiplies and each token (the embedding's look-up is none; tied, it is the head).
// Adapters need no gradient of the frozen matrices: 4 operations for those and 6 for their own; that share is given too, and
// it is the honest one.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/world.h"
#include "precept/core/rng.h"
#include "precept/lm/bench/roof.h"
#include "precept/lm/infer/device.h"
#include "precept/lm/train/batch_trainer.h"
#include "precept/lm/train/forward.h"
#include "precept/lm/train/lora.h"
#include "precept/lm/train/objective.h"

namespace {

using namespace precept;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Options {
  std::string shape = "135m", train = "sft", precision = "bf16", device = "cpu";
  int vocab = 0;  // 0: the shape's
  bool checkpointing = false, full_logits = false;
  WorldOptions place;  // where `world` was joined
  World* world = nullptr;
  int threads = 0, lanes = TrainOptions().lanes, rows = 8, length = 512, rank = 16;
  double seconds = 20;
  bool json = false;
};

// Most resident memory of the host since the last reset, in MiB.
double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

// Weights that multiply for each token: all matrices, and the head.
double products(const LlamaConfig& c) {
  const double q = double(c.num_attention_heads) * c.head_dim, kv = double(c.num_key_value_heads) * c.head_dim;
  const double layer = c.hidden_size * (2 * q + 2 * kv) + 3.0 * c.hidden_size * c.intermediate_size;
  return layer * c.num_hidden_layers + double(c.hidden_size) * c.vocab_size;
}

// Rows of `length` tokens each (the last one is only predicted). Of answers, the first quarter is the prompt.
std::vector<TrainExample> random_rows(const Options& options, int vocab) {
  Rng rng({1, 0, 0, 0});
  std::vector<TrainExample> rows(std::size_t(options.rows));
  for (TrainExample& row : rows) {
    for (int i = 0; i < options.length; ++i) row.tokens.push_back(std::int32_t(rng.below(std::uint64_t(vocab))));
    row.weights.assign(row.tokens.size(), 1.0F);
    if (options.train == "grpo") std::fill_n(row.weights.begin(), row.weights.size() / 4, 0.0F);
  }
  return rows;
}

class Bench {
 public:
  Bench(const Options& options, const LlamaConfig& config) : options_(options), layout_(config) {
    train_.precision = options.precision;
    train_.device = options.device;
    train_.world = options.place;
    train_.threads = options.threads;
    train_.lanes = options.lanes;
    train_.activation_checkpointing = options.checkpointing;
    if (options.train == "lora") {
      train_.lora.on = true;
      train_.lora.rank = options.rank;
      lora_.emplace(layout_.config, *lora_targets(*lora_config_of(train_.lora, "."), layout_.config));
    }
  }

  Status open() {
    Result<std::unique_ptr<BatchTrainer>> trainer = open_trainer(train_, layout_, lora_ ? &*lora_ : nullptr, 0, options_.world, options_.full_logits);
    if (!trainer) return tl::unexpected(trainer.error());
    trainer_ = std::move(*trainer);
    std::vector<float> weights(layout_.size);
    std::uint32_t state = 1;
    for (const nn::Param& param : layout_.params) {
      for (std::size_t i = 0; i < param.size(); ++i) {
        state = state * 1664525U + 1013904223U;
        weights[param.offset + i] = param.cols ? 0.04F * (float(state >> 8) / float(1 << 24) - 0.5F) : 1.0F;
      }
    }
    if (lora_) {
      for (float& weight : weights) weight = round_to_bf16(weight);  // as checkpoints are
      trainer_->freeze(weights);
      optimizer_.master = initial_lora(*lora_, 1);
    } else {
      optimizer_.master = std::move(weights);
    }
    optimizer_.mean.assign(optimizer_.master.size(), 0.0F);
    optimizer_.square.assign(optimizer_.master.size(), 0.0F);
    trainer_->begin(optimizer_);
    batch_.examples = random_rows(options_, layout_.config.vocab_size);
    return {};
  }

  double step() {
    const double loss = options_.train == "grpo" ? answers_step() : supervised_step();
    trainer_->update(optimizer_, 1e-5, std::min(1.0, 1.0 / trainer_->gradient_norm()));
    return loss;
  }
  double own_parameters() const { return lora_ ? double(lora_->size) : 0.0; }

 private:
  double supervised_step() {
    const nn::LossSum sum = trainer_->loss_and_gradient(batch_);
    return sum.loss / sum.weight;
  }
  // As grpo.cpp's learn: ratios are those of the policy that sampled, advantages alternate.
  double answers_step() {
    const std::vector<TrainExample>& examples = batch_.examples;
    std::size_t tokens = 0;
    for (const TrainExample& example : examples) tokens += counted(example);
    const bool first = rollout_.empty();
    rollout_.resize(examples.size());
    std::vector<double> losses(examples.size());
    trainer_->objective_gradient(examples, [&](std::size_t i, std::span<const float> policy) {
      if (first) rollout_[i].assign(policy.begin(), policy.end());
      GrpoLoss one;
      add_grpo_answer({}, examples.size(), tokens, {policy, rollout_[i], rollout_[i], i % 2 ? 1.0 : -1.0}, one);
      losses[i] = one.loss;
      return std::move(one.d_logp.front());
    });
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }

  const Options& options_;
  TrainOptions train_;
  nn::Layout layout_;
  std::optional<nn::LoraLayout> lora_;
  std::unique_ptr<BatchTrainer> trainer_;
  AdamW optimizer_;
  Batch batch_;
  std::vector<std::vector<float>> rollout_;
};

int refuse(const Error& error, int code) { return std::fprintf(stderr, "%s\n", error.message().c_str()), code; }

int run(Options& options) {
  const bool host = options.device == "cpu";
  if (options.full_logits && !host) return std::fprintf(stderr, "--full-logits is for --device cpu\n"), 2;
  if (Status fine = infer::check_device(options.device); !fine) return refuse(fine.error(), 2);
  if (options.threads < 1) options.threads = std::max(1, int(std::thread::hardware_concurrency()));
  if (host && options.precision == "bf16" && !nn::bf16_kernels()) return std::fprintf(stderr, "this processor has no bf16 products\n"), 2;
  Result<LlamaConfig> shape = bench_shape(options.shape);
  if (!shape) return refuse(shape.error(), 2);
  if (options.vocab > 0) shape->vocab_size = options.vocab;
  const Result<WorldOptions> place = world_from_environment();
  if (!place) return refuse(place.error(), 2);
  if (place->size > options.lanes) return std::fprintf(stderr, "%d processes need as many --lanes\n", place->size), 2;
  const Result<std::unique_ptr<World>> world = World::join(*place, fmt::format("bench {}", options.lanes));
  if (!world) return refuse(world.error(), 3);
  options.place = *place;
  options.world = world->get();
  const Result<Roof> before = measure_roof(options.precision, options.threads, options.device);
  if (!before) return refuse(before.error(), 3);
  reset_peak();
  std::optional<Bench> bench(std::in_place, options, *shape);
  if (Status opened = bench->open(); !opened) return refuse(opened.error(), 3);
  std::vector<double> losses{bench->step()};  // buffers are made, pages touched
  std::vector<double> took;
  options.world->gather("");
  const auto start = Clock::now();
  do {
    const auto begin = Clock::now();
    losses.push_back(bench->step());
    took.push_back(since(begin));
  } while (options.world->gather(since(start) < options.seconds ? "more" : "").front() == "more");  // rank 0 decides
  const double peak = peak_mib(), seconds = since(start);
  if (place->rank > 0) return 0;
  const double frozen = products(*shape), own = bench->own_parameters();
  bench.reset();  // the roof takes memory of the device too
  const Result<Roof> after = measure_roof(options.precision, options.threads, options.device);
  if (!after) return refuse(after.error(), 3);
  const double gflops = place->size * std::max(before->gemm_gflops, after->gemm_gflops);
  const double tokens = double(options.rows) * options.length, rate = tokens * double(took.size()) / seconds;
  const double work = 6e-9 * (frozen + own) * rate, needed = own > 0 ? 1e-9 * (4 * frozen + 6 * own) * rate : work;
  if (options.json) {
    std::printf("%s\n", nlohmann::ordered_json({{"shape", options.shape}, {"vocab", shape->vocab_size}, {"train", options.train},
                          {"device", options.device}, {"precision", options.precision}, {"threads", options.threads}, {"lanes", options.lanes}, {"processes", place->size}, {"full_logits", options.full_logits},
                          {"activation_checkpointing", options.checkpointing}, {"rows", options.rows},
                          {"length", options.length}, {"parameters", frozen + own}, {"steps", took.size()},
                          {"tokens_per_s", rate}, {"gemm_gflops_before", before->gemm_gflops}, {"gemm_gflops_after", after->gemm_gflops},
                          {"share_of_roof_6n", work / gflops}, {"share_of_roof_needed", needed / gflops}, {"peak_mib", peak},
                          {"first_loss", losses.front()}, {"last_loss", losses.back()}}).dump().c_str());
    return 0;
  }
  std::printf("%s on %s, shape %s (vocabulary %d, %.1fM parameters multiply), %s, %d threads in %d processes, %d lanes, %d rows of %d tokens a step, %zu steps\n",
              options.train.c_str(), options.device.c_str(), options.shape.c_str(), shape->vocab_size, 1e-6 * (frozen + own), options.precision.c_str(),
              options.threads, place->size, options.lanes, options.rows, options.length, took.size());
  std::printf("roof %.0f and %.0f GFLOP/s before and after; %.0f tokens/s; %.1f%% of the roof by 6 N", before->gemm_gflops,
              after->gemm_gflops, rate, 100 * work / gflops);
  if (own > 0) std::printf(", %.1f%% by the work that an adapter needs", 100 * needed / gflops);
  std::printf("; peak%s %.0f MiB; loss %.6f -> %.6f\n", host ? "" : " of the host's memory", peak, losses.front(), losses.back());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("steps of the trainer on random tokens");
  app.add_option("--shape", options.shape, "pocket, 135m, 360m, 1b or 8b");
  app.add_option("--vocab", options.vocab, "another size of the vocabulary");
  app.add_option("--train", options.train, "sft, lora or grpo")->check(CLI::IsMember({"sft", "lora", "grpo"}));
  app.add_flag("--activation-checkpointing", options.checkpointing, "compute layers again backwards");
  app.add_flag("--full-logits", options.full_logits, "hold all logits and their gradient; of --device cpu");
  app.add_option("--precision", options.precision, "bf16 or fp32")->check(CLI::IsMember({"bf16", "fp32"}));
  app.add_option("--device", options.device, "cpu, or a GPU: cuda, cuda:N (a build with libtorch; docs/gpu.md)");
  app.add_option("--threads", options.threads, "0: all cores");
  app.add_option("--lanes", options.lanes, "gradients summed apart, then in order")->check(CLI::Range(1, kMaxLanes));
  app.add_option("--rows", options.rows, "rows of a step")->check(CLI::PositiveNumber);
  app.add_option("--length", options.length, "tokens of a row")->check(CLI::PositiveNumber);
  app.add_option("--lora-rank", options.rank)->check(CLI::PositiveNumber);
  app.add_option("--seconds", options.seconds, "measured after one step that is not");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const std::bad_alloc&) {
    return std::fprintf(stderr, "the memory of %s is exhausted\n", options.device.c_str()), 3;
  } catch (const std::runtime_error& error) {  // WorldError too
    return std::fprintf(stderr, "%s\n", error.what()), 3;
  }
}
