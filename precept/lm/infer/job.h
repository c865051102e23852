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
  std::vector<std::uint32_t> blocks; // positions 16 i .. 16 i + 15 lie in blocks[i]
  std::vector<std::uint32_t> held;   // blocks to release in the end
  std::vector<ScoreTrie::Want> wants;  // by offset

  // A block that begins as this work's block `to` does; it is copied before the first row is computed.
  struct Copy {
    std::uint32_t from, to;
  };
  std::optional<Copy> copy;

  // Reuse, for works that start at position 0.
  std::optional<std::uint32_t> awaited;  // a reused block that another work has yet to compute
  bool chain = false;                // are all whole blocks so far known to the cache?
  std::uint64_t serial = 0;          // of the last published block; at first the job's root
  int published = 0, ready = 0;      // leading blocks known to the cache; known and computed

  int pending() const { return static_cast<int>(tokens.size()) - computed; }
  bool available(const Cache& cache) const {
    return pending() == 0 && !copy && (!awaited || cache.ready(*awaited));
  }
};

struct Job {
  explicit Job(bool generating) : generates(generating) {}
  virtual ~Job() = default;
  const bool generates;  // a GenerateJob, else a ScoreJob
  std::uint64_t arrival = 0;
  bool prepared = false;
  std::optional<Error> ended;  // without an answer, and why
  const Adapter* adapter = nullptr;  // null: the base alone
  std::uint64_t root() const { return Cache::root(adapter != nullptr ? adapter->number : 0); }
  std::vector<std::unique_ptr<Work>> works;
};

struct GenerateJob : Job {
  GenerateJob(GenerateRequest r, Model::GenerateDone d, const Tokenizer& tokenizer)
      : Job(true), request(std::move(r)), done(std::move(d)), rng(request.key), decoder(tokenizer),
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
  float logprob = 0;        // of it
};

// A tree too large for the cache is scored in parts, a few questions at a time.
struct ScoreJob : Job {
  ScoreJob() : Job(false) {}
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
