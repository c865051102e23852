#pragma once
// The run store: one SQLite file, `run.db` in the run folder, with one row for each finished step.
//
// Durability: put() and finish() join one open transaction; commit() makes all of it durable (WAL,
// synced). What was committed survives SIGKILL and power loss; what was not is as if it never
// happened. Report work as done only after commit().
// One writer: open() locks the folder until the store is destroyed; a second process is refused.
// Readers (open_readonly) may look on at any time. One thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

// The numbers are stored, and name the streams of random numbers (RngKey::step): never renumber.
enum class StepKind : std::uint32_t { kSelect = 0, kDraft = 1, kJudge = 2, kCritique = 3, kRevision = 4, kReason = 5, kCompare = 6 };
inline constexpr int kStepKinds = 7;
const char* step_name(StepKind kind);  // "select", "draft", "judge", "critique", "revision", "reason", "compare"

// What was said of one principle in a select or judge step.
struct Verdict {
  enum class Value {
    kNo,           // select: does not apply; judge: complies; compare: the second is better
    kYes,          // select: applies; judge: violates; compare: the first is better
    kUnparseable,  // the answer could not be read: neither of the two
  };
  std::string principle;               // id
  Value value = Value::kUnparseable;
  std::optional<double> probability;   // of kYes, where the model gives one
};
// "applies" / "does not apply", "violates" / "complies", "first" / "second", or "unparseable".
const char* verdict_name(StepKind kind, Verdict::Value value);

// How many verdicts a step gave, and how many of them say little.
struct VerdictCount {
  std::int64_t n = 0;            // all
  std::int64_t unparseable = 0;
  std::int64_t scored = 0;       // came with a probability
  std::int64_t uncertain = 0;    // of those, with one that is_uncertain (core/estimate.h)
};

// One finished step: one call of a model. Key: (item, round, kind). Round 0 holds select, draft and
// the judgment of the draft; round r >= 1 the r-th critique, revision and its judgment. Where answers are compared
// (precept/feedback/labels.h) a round holds one sample and its judgment, or one comparison.
struct StepRecord {
  std::int64_t item = 0;  // ordinal
  int round = 0;
  StepKind kind = StepKind::kDraft;
  std::vector<std::string> principles;  // ids that the request was about
  std::string inputs;                   // digest of the exact request, model and seed: request_digest()
  std::string text;                     // what the model wrote; empty where it scored
  std::vector<Verdict> verdicts;        // select and judge
  std::optional<double> logprob;        // of the whole text, where the model gives one
  bool cut = false;                     // stopped by max_tokens
  Usage usage;
  std::uint64_t seed = 0;
  std::string model;                    // digest
  std::int64_t time_ms = 0;             // Unix time of completion; in no export
};

enum class Ending {
  kPending,      // not finished yet
  kComplied,     // the draft was kept
  kRevised,      // the final is a revision, judged to comply (or not judged: revise_compliant)
  kUnsettled,    // still judged to violate after the last round
  kUnparseable,  // no violation found, but a judgment could not be read
  kFailed,       // a request failed; `reason` says why; tried again on the next resume
};
const char* ending_name(Ending ending);

// One item of a run: a prompt, and how it ended. Its final is the last revision, else the draft.
struct RunItem {
  std::int64_t ordinal = 0;  // line order of the prompts file, from 0
  std::string id;
  Conversation messages;     // ends with a user turn
  std::vector<std::string> tags;
  Ending ending = Ending::kPending;
  std::string reason;        // kFailed only
};

// Digests of exact requests: messages, sampling, questions and key, with the digest of the model.
std::string request_digest(const GenerateRequest& request, std::string_view model_digest);
std::string request_digest(const ScoreRequest& request, std::string_view model_digest);

// Lines that differ between two recipes, each "was: LINE" or "now: LINE", in file order.
std::vector<std::string> recipe_difference(std::string_view was, std::string_view now);

class RunStore {
 public:
  // Opens or creates `folder`/run.db for writing. A new store remembers `recipe` (lines "key = value",
  // everything that decides the results); a store that began with another one is refused, and the
  // error names the differing lines.
  // `anew`: whatever was there is forgotten first, in one transaction.
  static Result<RunStore> open(const std::string& folder, const std::string& recipe, bool anew = false);
  // An existing store, for reading only; works beside a writer and in read-only folders.
  static Result<RunStore> open_readonly(const std::string& folder);
  ~RunStore();
  RunStore(RunStore&&) noexcept;
  RunStore& operator=(RunStore&&) noexcept;

  const std::string& recipe() const;

  // The items of the run, once, in prompt-file order (ordinal, ending and reason are ignored). Called
  // again on a resume it checks that they are the same.
  Status set_items(const std::vector<RunItem>& items);
  Result<std::int64_t> item_count() const;
  Result<std::int64_t> open_count() const;  // pending or failed

  // The first item with ordinal >= `from` that is pending or failed; nullopt when there is none.
  Result<std::optional<RunItem>> next_open_item(std::int64_t from) const;
  // Steps of one item as they happened: select, draft, judge, critique, revision, judge...
  Result<std::vector<StepRecord>> steps(std::int64_t item) const;

  Status put(const StepRecord& step);  // a key that is there already is an error
  Status finish(std::int64_t item, Ending ending, const std::string& reason = {});
  Status commit();  // nothing to commit: does nothing

  // Every item with its steps, in prompt-file order, one at a time (memory: one item). The visitor
  // returns false to stop.
  using Visitor = std::function<bool(const RunItem&, const std::vector<StepRecord>&)>;
  Status visit(const Visitor& visitor) const;
  // The same without steps.
  Status visit_items(const std::function<bool(const RunItem&)>& visitor) const;

  // For tests: no more pages than this, to act out a full disk.
  Status limit_pages(std::int64_t pages);

 private:
  struct Impl;
  explicit RunStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
