#pragma once
// The engine: a Model on a Llama-architecture checkpoint, with continuous batching.
//
// A step computes some hundred positions of whatever is in flight: one for each sequence that answers, the rest for prompts
// and score trees. Keys and values lie in blocks of 16 positions. Requests with the same beginning share what was computed
// for it, to the token: whole blocks are shared, the last one is copied. That is so as long as memory lasts, and of whole
// blocks also while they are being computed: who needs them waits.
//
// On the CPU, the same request gives the same bits alone or in company, cold or with a warm cache, however its prompt is
// cut into steps and however many threads there are: each row's sums run in a fixed order. That holds for one
// kind of processor (nn/processor.h): instruction sets round differently, bf16 on Intel's differently from others', and so do precisions.
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
#include "precept/lm/infer/backend.h"
#include "precept/lm/infer/cache.h"
#include "precept/lm/infer/job.h"
#include "precept/lm/infer/sharing.h"
#include "precept/lm/nn/llama.h"
#include "precept/text/chat_codec.h"

namespace precept::infer {

// What a model has beside what computes: texts to tokens and back, and adapters.
struct EngineParts {
  ModelInfo info;  // info.adapters is filled in by the engine
  TokenizerFiles files;
  std::vector<int> end_tokens;  // of the config, beside those of the chat format
  std::string base_digest;
  std::vector<std::unique_ptr<Adapter>> adapters;
  std::unique_ptr<Adapter> chosen;  // of requests that name none; null: the base alone
};

class Engine : public Model {
 public:
  Engine(EngineParts parts, std::unique_ptr<Backend> backend, const EngineOptions& options);
  ~Engine() override;

  const ModelInfo& info() const override { return info_; }
  void submit(GenerateRequest request, GenerateDone done) override;
  void submit(ScoreRequest request, ScoreDone done) override;
  std::size_t advance(std::chrono::milliseconds wait) override;
  // After a change of the weights: nothing that was computed with the old ones is used again. Nothing may be in flight.
  void forget();

 private:
  // What one step computes, and of which works.
  struct Step {
    std::vector<Segment> segments;
    std::vector<Work*> works;     // of the segments
    std::vector<Wanted> wanted;
    std::vector<std::int32_t> targets;            // of all that is looked up
    std::vector<const ScoreTrie::Want*> looked_up;  // of the targets; null for answers
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
  void unplace(Work& work);
  void fail(std::unique_ptr<Job> job, Error error);
  std::int64_t pending_rows() const;

  // engine.cpp: steps.
  void look_at_patience();
  Step plan();
  void plan_wanted(Step& step, int segment, Work& work);
  bool begun(Work& work);
  void settle(Step& step, const std::vector<Outcome>& outcomes);
  void publish(Work& work);
  void publish_rest(Work& work);
  bool awaited_by_others(const Job& job) const;
  bool extend(GenerateJob& job);  // false: the answer is complete
  void collect();
  void finish(std::unique_ptr<Job> job);

  ModelInfo info_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::unique_ptr<Adapter>> adapters_;
  std::unique_ptr<Adapter> chosen_;
  Tokenizer tokenizer_;
  ChatCodec chat_;
  std::vector<std::int32_t> stop_ids_;
  int max_batch_;
  Cache cache_;

  std::uint64_t arrivals_ = 0;
  std::deque<std::unique_ptr<GenerateJob>> waiting_generate_;
  std::deque<std::unique_ptr<ScoreJob>> waiting_score_;
  std::vector<std::unique_ptr<Job>> active_;
  int generating_ = 0;  // active jobs that generate
  int impatient_ = 0;   // requests in flight with a deadline, or that may be cancelled
  std::chrono::steady_clock::time_point look_at_{};  // next, at the patience of those that wait
  std::vector<std::function<void()>> completions_;
  Sharing sharing_;
};

// What requests call the base of an engine with adapters.
inline constexpr const char* kBaseName = "base";

// Opens a checkpoint folder: config.json, safetensors, tokenizer.json, chat.json; or a PEFT adapter's: its base, with it on.
Result<std::unique_ptr<Model>> open_engine(const std::string& folder, const EngineOptions& options);

// A model in training, all of it borrowed; `adapter` is on it where there is one. Requests are answered with the weights as they
// are: whoever changes them calls forget() before the next one.
struct TrainedModel {
  const LlamaConfig& config;
  const nn::LoraWeights* adapter;
  std::string tokenizer_folder;  // of `files`, for messages
  // On the trainer's own weights. `choices`: tokens that may be picked, the first ones.
  std::function<Result<std::unique_ptr<Backend>>(int choices)> backend;
};
// Of the options device, precision, weights, adapters and memory do not count. The model has no digest.
Result<std::unique_ptr<Engine>> open_trained(const TrainedModel& model, TokenizerFiles files, EngineOptions options);

}  // namespace precept::infer
