#pragma once
// How well a model solves programming tasks, by itself and with more tries: every sample of every task is one item of the run
// store, a coroutine that asks the model, runs the program against the task's tests, and tries again as its strategy says.
//
// Strategies, all with the same budget of tokens for one sample:
//   one      one try, as long as the budget allows
//   restart  a fresh conversation for each try
//   persist  the same conversation: the model sees its program and how the tests failed
//   summary  a fresh conversation that begins with the model's own notes on what failed so far
// The last three stop at the first program that passes: they use the tests as a verifier, and are to be compared with one
// another and with pass@k, not with pass@1 of a model that had no tests.
//
// The budget counts what a sample makes the model write, and what it makes it read again: the output tokens of all its
// requests, and the prompt tokens of all but the first (also of those that the backend had cached). A try is begun while
// something is left, and may write no more than is left; what it reads can pass the budget by the length of one failure
// message.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/feedback/code/code_task.h"
#include "precept/feedback/code/pass_k.h"
#include "precept/feedback/code/sandbox.h"
#include "precept/model/model.h"
#include "precept/store/run_store.h"
#include "precept/store/walk.h"

namespace precept {

struct SolveOptions {
  int samples = 1;               // of each task and strategy
  std::string strategy = "one";  // one or several of the above, separated by commas; all
  std::uint64_t budget = 0;      // tokens of one sample; 0: max_tokens for "one" alone, else four times that
  int max_tokens = 512;          // of one try (of "one": the budget)
  int summary_tokens = 160;      // of the notes after a failed try
  int max_tries = 16;            // of one sample
  double temperature = 0.8;      // 0: greedy; then all samples are the same
  double top_p = 0.95;
  bool completion = false;       // the model continues the bare prompt (base models); else it is asked in a conversation
  double time_limit = 10;        // seconds of a test, wall and processor
  int memory_limit = 512;        // MiB of a test
  std::uint64_t seed = 0;
  int concurrency = 256;         // items in flight; changes no result
  int sandboxes = 0;             // tests at the same time; 0: as many as processors; changes no result
  int give_up_after = 256;       // failed items in a row that end the run; 0: never; changes no result
};

template <class Visit>
void for_each_field(SolveOptions& o, Visit visit) {
  visit("samples", o.samples, "samples of each task", between(1, 1e5));
  visit("strategy", o.strategy, "one, restart, persist, summary, several separated by commas, or all");
  visit("budget", o.budget, "tokens that one sample may write or read again; 0: --max-tokens for one alone, else four times that",
        between(0, 1e9));
  visit("max_tokens", o.max_tokens, "longest answer of one try", between(1, 1e6));
  visit("summary_tokens", o.summary_tokens, "longest notes on a failed try (strategy summary)", between(1, 1e6));
  visit("max_tries", o.max_tries, "tries of one sample at most", between(1, 1000));
  visit("temperature", o.temperature, "0: greedy", between(0, 10));
  visit("top_p", o.top_p, "sample from the most probable tokens of this total", above(0, 1));
  visit("completion", o.completion, "the model continues the bare prompt, for base models; only with the strategies one and restart");
  visit("time_limit", o.time_limit, "seconds that a test may take", between(0.1, 3600));
  visit("memory_limit", o.memory_limit, "MiB that a test may use", between(32, 1e6));
  visit("seed", o.seed, "seed of all sampling", any_seed());
  visit("concurrency", o.concurrency, "samples in flight (changes no result)", beside(between(1, 1e6)));
  visit("sandboxes", o.sandboxes, "tests at the same time; 0: as many as processors (changes no result)", beside(between(0, 4096)));
  visit("give_up_after", o.give_up_after, "failed samples in a row that end the run; 0: never (changes no result)", beside(between(0, 1e9)));
}

enum class Strategy { kOne, kRestart, kPersist, kSummary };
const char* strategy_name(Strategy strategy);
// How a model is asked for a task's program (without `completion`): what to train on to be measured here.
Conversation asked_for(const CodeTask& task);

// In the order given, each once. kBadInput for unknown names, and for combinations with `completion` that make no sense.
Result<std::vector<Strategy>> strategies_of(const SolveOptions& options);
std::uint64_t budget_of(const SolveOptions& options, const std::vector<Strategy>& strategies);

// What decides the results, as lines "key = value", and the items, for RunStore.
std::string solve_recipe(const SolveOptions& options, const std::vector<CodeTask>& tasks, const ModelInfo& model);
Result<std::vector<RunItem>> solve_items(const SolveOptions& options, const std::vector<CodeTask>& tasks);

// Walks all open items of the store (precept/store/walk.h: events, errors, what a kill loses) as stage "solve". A sample fails
// without an answer or a sandbox.
Result<WalkResult> solve(const std::vector<CodeTask>& tasks, const SolveOptions& options, Model& model, Sandbox& sandbox,
                          RunStore& store, const EventSink& events);

// --- what came of it ---

struct StrategySummary {
  Strategy strategy = Strategy::kOne;
  std::vector<TaskTally> tasks;                    // in the order of the tasks
  std::map<std::int64_t, Estimate> pass_at, pass_hat;  // by k; undefined where k is more than there are samples
  Estimate tokens, tries;                          // of one sample: counted as the budget is; tries begun
  std::int64_t samples = 0, passed = 0, unscored = 0;
  std::map<std::string, std::int64_t> endings;     // last test of each sample: "passed", "failed", "timeout"...
  Usage usage;
  std::optional<Estimate> difference;              // pass@1 minus that of the first strategy
};

struct SolveSummary {
  std::int64_t tasks = 0;
  std::uint64_t budget = 0;
  std::vector<StrategySummary> strategies;
  std::string first_failure;
};

// Which samples passed, task by task, as the store alone tells.
struct SolveTallies {
  std::vector<std::string> tasks;                // ids, in their order
  std::vector<std::string> strategies;           // names, in their order
  std::vector<std::vector<TaskTally>> tallies;   // [strategy][task]
  std::int64_t unscored = 0;                     // samples that are pending or failed
};
Result<SolveTallies> tally_solve(const RunStore& store);

// Of a store, as far as it is filled. `ks` are the k of pass@k and pass^k.
Result<SolveSummary> summarize_solve(const RunStore& store, const SolveOptions& options, const std::vector<CodeTask>& tasks,
                                     const std::vector<std::int64_t>& ks);

}  // namespace precept
