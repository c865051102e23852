#pragma once
// The public face of the language models. The CLI opens the library with
// dlopen on first use and reaches it through precept_lm_api().

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "precept/checkpoint/llama_config.h"
#include "precept/checkpoint/save.h"
#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/lm/bench/bench.h"
#include "precept/lm/rl_options.h"
#include "precept/model/model.h"

namespace precept {

// An adapter that the engine holds beside its base: requests name it, the base's weights are there once.
struct AdapterSource {
  std::string name;    // what requests call it; not empty, not "base", each once
  std::string folder;  // in PEFT's format (precept/checkpoint/peft.h)
};

// How many tokens of prompts could have been shared: those of a beginning that an earlier request had too (its answer
// included), or another question of the same request, had memory no end.
struct SharedTokens {
  std::int64_t shareable = 0;
};

struct EngineOptions {
  int threads = 0;                                       // 0: all cores
  int max_batch = 64;                                    // sequences decoded together
  // What computes: "cpu"; "cuda" or "cuda:N", a GPU; "torch-cpu", libtorch on the processor, for tests. Those three need a build
  // with PRECEPT_TORCH. Results differ from device to device by rounding.
  std::string device = "cpu";
  // Memory of the key/value cache. 0: 512 MiB; on a GPU 90% of what weights and activations leave free.
  std::int64_t cache_bytes = 0;
  // Asks the system for all of the cache's memory at opening, and not block by block when one is first used. A page that a
  // virtual machine has to get from its host takes milliseconds, which steps wait for. On the processor only.
  bool claim_cache = false;
  // Of weights, cache and activations together; what weights and activations leave bounds the cache too. 0: no such bound.
  std::int64_t memory_bytes = 0;
  // Of the products' factors, and of keys and values; sums are fp32. "bf16", "fp32", or "auto": bf16 for checkpoints whose
  // matrices are bf16, else fp32.
  std::string precision = "auto";
  // "auto": as the checkpoint has them, to the precision. "int8": matrices are rounded to 8 bits, a scale a row (embeddings are not):
  // half of bf16's memory, but no faster, since panels are widened for their products. Another model, with a digest of its own.
  std::string weights = "auto";
  // A model whose packed weights take more than this is read where it lies in its mapped files, without a copy, which is
  // slower.
  std::int64_t pack_bytes = std::int64_t{16} << 30;
  std::vector<AdapterSource> adapters = {};
  std::shared_ptr<SharedTokens> shared_tokens = {};  // counted if it is there; takes memory for every token ever seen
};

// Low-rank adaptation (Hu et al. 2021, arXiv 2106.09685): the weights stay as they are, y = W x + s B A x is trained in
// A [rank, in] and B [out, rank] of some matrices; s = alpha / rank, or alpha / sqrt(rank) (Kalajdzievski 2023, arXiv
// 2312.03732).
struct LoraOptions {
  bool on = false;
  int rank = 16;
  double alpha = 32;
  std::string targets = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj";  // by comma
  bool rslora = false;
  std::string merged;  // folder of the full checkpoint that is written too; empty: none
};

// One training sequence: weights[i] is the weight of the loss of predicting tokens[i] from
// tokens[0..i-1] (weights[0] is ignored); 0 leaves a token out.
struct TrainExample {
  std::vector<std::int32_t> tokens;
  std::vector<float> weights;
};

// `example(i)` for i in [0, count) is pure: the same bytes at every call.
struct TrainSet {
  std::uint64_t count = 0;
  std::function<TrainExample(std::uint64_t)> example;
  std::string digest;  // of what the examples were made from; a resume with another digest is refused
  int group = 1;       // examples that belong together: those of item i are i * group and the following; `count` counts items
  std::function<double(std::uint64_t)> label = {};  // of pairs: probability that an item's first example is the better one
};

// One of several processes that train together (precept/lm/train/world.h). Rank 0 listens at address:port, and writes everything.
struct WorldOptions {
  int rank = 0, size = 1;
  std::string address = "127.0.0.1";
  int port = 29500;
};

struct TrainSummary;

inline constexpr int kMaxLanes = 64;  // of TrainOptions

// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) with linear warm-up and cosine decay.
struct TrainOptions {
  std::string from;              // checkpoint folder to start from; empty: random weights of shape `fresh`
  LlamaConfig fresh;
  std::string tokenizer_folder;  // tokenizer files copied into `out`; empty: those of `from`
  std::string out;               // checkpoint folder written at the end
  std::int64_t shard_bytes = kShardBytes;  // most bytes of one file of weights
  std::string state;             // folder of the resumable state; empty: none is kept
  int checkpoint_every = 200;    // steps between resumable states
  int epochs = 1;
  int batch_tokens = 4096;       // tokens of one optimiser step, padding not counted
  int max_tokens = 512;          // longest example; longer ones are cut at the end and counted
  double lr = 3e-4;
  double min_lr_share = 0.1;     // the cosine ends at this share of lr
  double warmup_share = 0.03;    // of all steps
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;     // matrices only
  double clip_norm = 1.0;        // of the global gradient norm; 0: none
  std::string precision = "auto";  // of the products' factors, "bf16" or "fp32"; auto: bf16 where the processor has it
  std::uint64_t seed = 0;        // order of examples, initial weights
  bool activation_checkpointing = false;  // layers are computed again backwards: less memory, a quarter more time, the same bits
  // Gradients of a step that are summed apart, then added in their order; 1 to kMaxLanes. At most so many threads and processes have work.
  // A process holds min(lanes, threads + 1) of them, 4 bytes a parameter each; of several processes all but the first hold one for
  // each of their lanes. The order of the sums, and so the last bits of all results, depends on it.
  int lanes = 4;
  WorldOptions world;            // how many processes there are changes no bit either
  std::string device = "cpu";    // what trains and what answers while it does; as EngineOptions::device. Lanes are the processor's
  LoraOptions lora;              // on: `out` becomes an adapter's folder instead of a checkpoint's
  int threads = 0;               // 0: all cores
  GuardOptions guard;            // against collapse
  std::function<bool()> stop;    // asked after every step; true keeps the state and ends with an Error
  // Asked before the first step of a session, after every step and at the end, with the items of the data that are used up (of all
  // epochs) and the sums so far; true ends the training here, with the weights as they are. What it says must follow from these
  // two and from what the steps did, so that a killed run ends at the same step. May be empty.
  std::function<bool(std::int64_t used, const TrainSummary& so_far)> enough;
};

// What `device` and `precision` mean, for every command that has them as options.
inline constexpr const char* kDeviceHelp = "what generates: cpu, or a GPU: cuda, cuda:N (a build with libtorch; docs/gpu.md)";
inline constexpr const char* kTrainDeviceHelp = "what trains, and what answers and judges meanwhile: cpu, or a GPU: cuda, cuda:N (a build with libtorch; docs/gpu.md)";
inline constexpr const char* kPrecisionHelp = "factors of the products: bf16, fp32, or auto (bf16 on a GPU, and where the processor has it)";

struct TrainSummary {
  std::int64_t steps = 0, examples = 0, truncated = 0;
  std::int64_t tokens = 0;         // without padding
  std::int64_t trained_tokens = 0; // with weight > 0
  double first_loss = 0, last_loss = 0;  // mean loss per weighted token over the first and last 5% of steps
  double seconds = 0, tokens_per_s = 0;
  std::string precision;           // "bf16" or "fp32"
  std::string digest;              // of the weights written; of an adapter together with its base
  std::string merged_digest;       // of the merged checkpoint, where one was asked for
  std::string halted;              // why a guard stopped the training, in words; empty: none did
  std::int64_t kept_step = 0;      // then: the step whose weights were written
  std::vector<std::pair<std::string, Estimate>> measures;  // of the trainer's own: "held_out_accuracy"...
};

// A reward model: one number for a conversation that ends with the assistant.
class RewardModel {
 public:
  virtual ~RewardModel() = default;
  virtual const std::string& digest() const = 0;
  // A conversation that cannot be read, or is too long, gives nothing.
  virtual Result<std::vector<std::optional<double>>> score(const std::vector<Conversation>& conversations) = 0;
};

struct LmApi {
  // A checkpoint's folder, or an adapter's: that is its base with the adapter on; requests may then name "base" for the
  // base alone. Adapters of the options are named by requests.
  Result<std::unique_ptr<Model>> (*open_checkpoint)(const std::string& folder, const EngineOptions&);
  // Emits kProgress (stage "train") and kMetric ("loss", "lr", "grad_norm"). Stops with an Error on a
  // non-finite loss. With `state`, a killed run goes on from its last state with the same result.
  Result<TrainSummary> (*train)(const TrainOptions&, const TrainSet&, const EventSink&);
  // Pairs: group 2, the first example is the one that was chosen. Only tokens of weight other than 0 count, each as 1.
  Result<TrainSummary> (*train_preferences)(const TrainOptions&, const PreferenceOptions&, const TrainSet&, const EventSink&);
  // The same pairs, of which whole sequences are read, and such that are never trained on (count may be 0). Writes the checkpoint
  // of a model with a value head.
  Result<TrainSummary> (*train_reward)(const TrainOptions&, const RewardOptions&, const TrainSet& pairs, const TrainSet& held_out,
                                       const EventSink&);
  Result<TrainSummary> (*train_grpo)(const TrainOptions&, const GrpoOptions&, const PromptSet&, const RewardFunction&, const EventSink&);
  Result<std::unique_ptr<RewardModel>> (*open_reward)(const std::string& folder, int threads);
  Roof (*measure_roof)(const std::string& precision, int threads);
  Result<BenchReport> (*bench_engine)(const BenchOptions&, const EventSink&);
};

}  // namespace precept

extern "C" const precept::LmApi* precept_lm_api();
