#pragma once
// The engine: a Model on a Llama-architecture checkpoint, with continuous batching on the CPU.
//
// A step computes up to kStepRows positions of whatever is in flight: one for each sequence that
// answers, the rest for prompts and score trees. Keys and values lie in blocks of 16 positions, shared
// between requests with the same beginning (whole blocks) and within one score request (to the token).
//
// The same request gives the same bits alone or in company, cold or with a warm cache, however its
// prompt is cut into steps and however many threads there are: each row's sums run in a fixed order.
// That holds for one processor; AVX-512, AVX2 and portable kernels round differently.
//
// One base may have several adapters; a request names the one that answers it, and requests with different ones are
// computed together. Their keys and values are never shared. What holds of bits holds of each adapter by itself.
//
// With `raw`, the text follows chat.json's begin tokens, as at the start of a training document.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "precept/lm/api.h"
#include "precept/lm/infer/cache.h"
#include "precept/lm/infer/forward.h"
#include "precept/lm/infer/job.h"
#include "precept/lm/infer/sampler.h"
#include "precept/lm/infer/weights.h"
#include "precept/lm/infer/workers.h"
#include "precept/text/chat_codec.h"

namespace precept::infer {

class Engine : public Model {
 public:
  // `chosen` is the adapter of requests that name none; null: the base alone. info.adapters is filled in here.
  Engine(ModelInfo info, Weights weights, TokenizerFiles files, const EngineOptions& options, const std::string& base_digest = {},
         std::vector<std::unique_ptr<Adapter>> adapters = {}, std::unique_ptr<Adapter> chosen = nullptr);
  ~Engine() override;

  const ModelInfo& info() const override { return info_; }
  void submit(GenerateRequest request, GenerateDone done) override;
  void submit(ScoreRequest request, ScoreDone done) override;
  std::size_t advance(std::chrono::milliseconds wait) override;

 private:
  // One piece of a step, for one thread.
  struct Unit {
    std::vector<Segment> segments;
    std::vector<Work*> works;  // of the segments
    int rows = 0;
  };
  struct Lane {
    Forward forward;
    Sampler sampler;
  };

  const Adapter* adapter_called(const std::string& name) const;  // of a request that was checked

  // engine_admit.cpp: from waiting to works with places in the cache.
  void admit();
  bool admit(GenerateJob& job);  // false: no memory now
  bool admit(ScoreJob& job);
  Status prepare(GenerateJob& job);
  Status prepare(ScoreJob& job);
  Result<std::vector<std::int32_t>> prompt_of(const Conversation& messages, bool raw) const;
  bool place(Work& work, int tokens, int reusable);
  void build_part(ScoreJob& job);
  void release(Work& work);
  void fail(std::unique_ptr<Job> job, Error error);
  std::int64_t pending_rows() const;

  // engine.cpp: steps.
  std::vector<Unit> plan() const;
  void compute(Lane& lane, Unit& unit) const;
  void row_done(Lane& lane, Work& work, int offset, float* logits) const;
  void settle(Work& work, int rows);
  void publish(Work& work);
  bool extend(GenerateJob& job);  // false: the answer is complete
  void collect();
  void finish(std::unique_ptr<Job> job);

  ModelInfo info_;
  Weights weights_;
  std::vector<std::unique_ptr<Adapter>> adapters_;
  std::unique_ptr<Adapter> chosen_;
  Tokenizer tokenizer_;
  ChatCodec chat_;
  std::vector<std::int32_t> stop_ids_;
  int max_batch_;
  int choices_;  // tokens that may be generated: those the tokenizer has
  Processor processor_;
  Cache cache_;
  Rotary rotary_;
  Workers workers_;
  std::vector<std::unique_ptr<Lane>> lanes_;

  std::uint64_t arrivals_ = 0;
  std::deque<std::unique_ptr<GenerateJob>> waiting_generate_;
  std::deque<std::unique_ptr<ScoreJob>> waiting_score_;
  std::vector<std::unique_ptr<Job>> active_;
  int generating_ = 0;  // active jobs that generate
  std::vector<std::function<void()>> completions_;
};

// What requests call the base of an engine with adapters.
inline constexpr const char* kBaseName = "base";

// Opens a checkpoint folder: config.json, safetensors, tokenizer.json, chat.json; or a PEFT adapter's: its base, with it on.
Result<std::unique_ptr<Model>> open_engine(const std::string& folder, const EngineOptions& options);

}  // namespace precept::infer
