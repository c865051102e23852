#pragma once
// What the engine keeps of a request in flight.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "precept/core/rng.h"
#include "precept/lm/infer/adapter.h"
#include "precept/lm/infer/cache.h"
#include "precept/lm/infer/score_trie.h"
#include "precept/model/model.h"
#include "precept/text/stream.h"

namespace precept::infer {

struct Job;

// A run of tokens at consecutive positions, computed from left to right in one or more steps: a
// generation's prompt and answer, or a node of a score request's tree.
struct Work {
  Job* job = nullptr;
  const Work* parent = nullptr;      // must be computed first
  int start = 0;                     // position of tokens[0]
  std::vector<std::int32_t> tokens;
  int computed = 0;                  // of `tokens`: keys and values are in the cache
  std::vector<Span> spans;           // places of all positions from 0 on
  std::vector<std::uint32_t> held;   // blocks to release in the end
  std::vector<ScoreTrie::Want> wants;  // by offset

  // Reuse of whole blocks, for works that start at position 0.
  std::optional<std::uint32_t> awaited;  // a reused block that another work has yet to compute
  bool chain = false;                // are all blocks so far known to the cache?
  std::uint64_t serial = 0;          // of the last published block; at first the job's root
  int published = 0, ready = 0;      // leading blocks known to the cache; known and computed

  int pending() const { return static_cast<int>(tokens.size()) - computed; }
  bool available(const Cache& cache) const {
    return pending() == 0 && (!awaited || cache.ready(*awaited));
  }
};

struct Job {
  virtual ~Job() = default;
  std::uint64_t arrival = 0;
  bool prepared = false;
  bool broken = false;  // the model gave values that are not finite
  const Adapter* adapter = nullptr;  // null: the base alone
  std::uint64_t root() const { return Cache::root(adapter != nullptr ? adapter->number : 0); }
  std::vector<std::unique_ptr<Work>> works;
};

struct GenerateJob : Job {
  GenerateJob(GenerateRequest r, Model::GenerateDone d, const Tokenizer& tokenizer)
      : request(std::move(r)), done(std::move(d)), rng(request.key), decoder(tokenizer),
        matcher(request.sampling.stop) {}

  GenerateRequest request;
  Model::GenerateDone done;
  std::vector<std::int32_t> prompt;
  int limit = 0;  // tokens of prompt and answer
  Rng rng;        // one draw a token
  StreamDecoder decoder;
  StopMatcher matcher;
  Generation answer;
  std::int32_t picked = 0;  // by the step that just ran
  float logprob = 0;
};

// A tree too large for the cache is scored in parts, a few questions at a time.
struct ScoreJob : Job {
  struct Question {
    std::vector<std::int32_t> prompt;
    std::vector<std::vector<std::int32_t>> options;
  };
  ScoreRequest request;
  Model::ScoreDone done;
  std::vector<Question> questions;
  std::size_t first = 0, end = 0;      // questions of the part in work
  std::vector<double> values;          // of the part: log-probabilities, option by option
  Scores scores;
};

}  // namespace precept::infer
