#pragma once
// A model that follows a script: for tests and benchmarks. Deterministic.
//
// Script file, JSONL: first line options, then rules; the first rule that matches a request answers it.
//   {"name": "…", "can_score": true, "latency": 0, "context_tokens": 0}     optional first line
//   {"match": "substring", "reply": "…"}                        generate
//   {"match": "substring", "scores": {"yes": -0.1, "no": -2.3}} score, one question at a time
//   {"match": "substring", "fail": "reason"}                    both: completes with an Error
// `match` is looked for in the content of all messages joined with "\n" (and the question's tail);
// "" matches everything; a list of strings matches when all of them occur. Unmatched: an Error.
// In a reply, {last} is the content of the last message.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "precept/model/model.h"

namespace precept {

struct ScriptedRule {
  enum class Kind { kReply, kScores, kFail } kind = Kind::kReply;
  std::vector<std::string> match;        // all must occur; empty: everything matches
  std::string text;                      // reply, or the reason of a failure
  std::map<std::string, double> scores;  // option -> log-probability
};

struct Script {
  std::string name = "scripted";
  std::string digest = "scripted";  // from a file: digest of its bytes
  bool can_score = true;
  int latency = 0;         // answers come after 0..latency further advances, by a hash of the request: out of order
  int context_tokens = 0;
  std::vector<ScriptedRule> rules;
  // Programmatic answers, asked before the rules; unset or nullopt: the rules decide.
  std::function<std::optional<Result<std::string>>(const GenerateRequest&)> on_generate;
  std::function<std::optional<Result<Scores>>(const ScoreRequest&)> on_score;
};

Result<Script> load_script(const std::string& path);

class ScriptedModel : public Model {
 public:
  explicit ScriptedModel(Script script);
  const ModelInfo& info() const override { return info_; }
  void submit(GenerateRequest request, GenerateDone done) override;
  void submit(ScoreRequest request, ScoreDone done) override;
  std::size_t advance(std::chrono::milliseconds wait) override;

  std::int64_t generate_calls() const { return generate_calls_; }
  std::int64_t score_calls() const { return score_calls_; }

 private:
  void enqueue(std::uint64_t hash, std::function<void()> complete);

  Script script_;
  ModelInfo info_;
  std::map<std::int64_t, std::vector<std::function<void()>>> due_;  // advance -> completions
  std::size_t in_flight_ = 0;
  std::int64_t now_ = 0, generate_calls_ = 0, score_calls_ = 0;
};

// "scripted:FILE" without its prefix.
Result<std::unique_ptr<Model>> open_scripted(const std::string& path);

}  // namespace precept
