#pragma once
// Model: what the loop, the evaluations and the trainers know of a language model.
//
// One thread. A caller submits requests, then calls advance() until nothing is in flight; the model
// batches whatever is in flight. Completions run inside advance(), never inside submit(), each
// exactly once; a completion may submit further requests. Destroying a Model drops what is in flight.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/core/rng.h"
#include "precept/model/message.h"

namespace precept {

struct Sampling {
  int max_tokens = 256;
  double temperature = 1.0;  // 0: greedy (the highest logit; the lowest id wins a tie)
  double top_p = 1.0;        // (0, 1]
  std::vector<std::string> stop;  // the text ends before the first of these
};

// Tokens that were counted for one request (or summed over many).
struct Usage {
  std::int64_t prompt_tokens = 0;   // tokens of the prompt(s) that the request needed
  std::int64_t cached_tokens = 0;   // of those, how many were reused instead of computed
  std::int64_t output_tokens = 0;   // tokens generated (generate) or scored (score)

  Usage& operator+=(const Usage& other) {
    prompt_tokens += other.prompt_tokens;
    cached_tokens += other.cached_tokens;
    output_tokens += other.output_tokens;
    return *this;
  }
};

// Which endpoint gave an answer; empty for a model in this process.
struct Served {
  std::string endpoint;     // as in ModelInfo::endpoints
  std::string fingerprint;  // system_fingerprint, where the server gives one
};

// How a caller may end a request before its answer is there. Looked at between steps of work; the request then completes
// with an Error of kind kFailed that says which it was.
struct Patience {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  std::function<bool()> cancelled;  // empty: never. Called by advance(), often: it must be quick

  bool limited() const { return deadline.has_value() || cancelled != nullptr; }
  // Why it is over, or nullopt.
  std::optional<Error> over(std::chrono::steady_clock::time_point now) const;
};

struct GenerateRequest {
  Conversation messages;  // non-empty; with raw, exactly one message whose content is the text to continue
  bool raw = false;       // no chat template
  Sampling sampling;
  RngKey key;             // the sample is a pure function of weights, messages, sampling and key
  bool logprobs = false;  // fill Generation::logprobs
  // Called by advance() with each part of the text once it is final; the parts, joined, are Generation::text. Backends
  // that get their answers whole call it once, or never for an empty text. An answer that fails may have given some.
  std::function<void(std::string_view)> on_text;
  std::string adapter;    // one of ModelInfo::adapters by its name; empty: the model as it was opened
  Patience patience = {};
};

enum class Finish { kStop, kLength };

struct Generation {
  std::string text;                    // without stop string and end token
  Finish finish = Finish::kStop;
  std::vector<std::int32_t> tokens;    // ids generated, end token included; empty if the backend has none
  std::vector<float> logprobs;         // natural log of the model's probability (temperature 1) of each token
  Usage usage;
  Served by;
};

// One question about a shared beginning: `tail` is appended to the content of the last message, and
// each option is scored as the answer (the assistant's turn; with raw, the text that follows).
struct ScoreQuestion {
  std::string tail;
  std::vector<std::string> options;
};

struct ScoreRequest {
  Conversation messages;  // non-empty
  bool raw = false;
  std::vector<ScoreQuestion> questions;  // one call, however many: shared tokens are computed once
  std::string adapter;    // as in GenerateRequest
  Patience patience = {};
};

struct Scores {
  // [question][option]: sum of natural-log probabilities of the option's tokens given all before it.
  std::vector<std::vector<double>> logprobs;
  Usage usage;
  Served by;
};

// One address over which requests leave this process.
struct EndpointInfo {
  std::string url;             // BASE#NAME
  std::string serves;          // digest of what it says of its model; empty when it could not be asked
  std::optional<bool> scores;  // log-probs of first tokens? nullopt: not asked
  bool asked = false;          // `scores` was found out just now, by one request:
  Usage usage;                 // what that took
};

// One of several sets of weights that a model can answer with, chosen request by request.
struct AdapterInfo {
  std::string name;
  std::string digest;  // of the base's and the adapter's weights together
};

struct ModelInfo {
  std::string uri;
  std::string name;         // for people
  std::string digest;       // of the weights (or of URL + name + fingerprint); the cache key
  bool can_score = false;   // submit(ScoreRequest) works; otherwise it completes with an Error
  bool words_only = false;  // ... but only for options of one short word, not raw; others complete with an Error
  int context_tokens = 0;   // longest prompt + answer; 0: unknown
  std::int64_t parameters = 0;  // 0: unknown
  std::vector<EndpointInfo> endpoints;  // empty: the model works in this process
  std::vector<AdapterInfo> adapters;  // what requests may name; most models have none
};

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;

  using GenerateDone = std::function<void(Result<Generation>)>;
  using ScoreDone = std::function<void(Result<Scores>)>;
  virtual void submit(GenerateRequest request, GenerateDone done) = 0;
  virtual void submit(ScoreRequest request, ScoreDone done) = 0;

  // Makes progress (at least one step of work when work is possible; waits for the network at most
  // `wait`), running completions. Returns how many requests are still in flight.
  virtual std::size_t advance(std::chrono::milliseconds wait) = 0;
};

}  // namespace precept
