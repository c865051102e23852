#pragma once
// One sample of one task on its way. Inside feedback/ only.

#include <string>
#include <string_view>
#include <vector>

#include "precept/core/task.h"
#include "precept/feedback/solve.h"

namespace precept {

// What a sample needs of its run. All references outlive the samples.
struct SolveRun {
  const std::vector<CodeTask>& tasks;
  const SolveOptions& options;
  std::vector<Strategy> strategies;
  std::uint64_t budget;
  SandboxLimits limits;
  Model& model;
  Sandbox& sandbox;
  StepLog log;
};

// Which sample an item is: solve_items() numbers them strategy by strategy, task by task.
struct SampleOf {
  Strategy strategy;
  std::size_t task;
  int sample;
};
SampleOf sample_of(std::int64_t ordinal, const std::vector<Strategy>& strategies, std::size_t tasks, int samples);

// What a request took; where a backend counts nothing, four bytes are taken for a token.
Usage counted(const Usage& usage, std::string_view answer, const Conversation& messages);

// The budget's count of one sample's requests so far, in their order.
class TokenCount {
 public:
  void add(const Usage& usage);
  std::uint64_t spent() const { return spent_; }
  std::uint64_t first_prompt() const { return first_prompt_; }
  std::uint64_t last_prompt() const { return last_prompt_; }
  std::uint64_t last_output() const { return last_output_; }

 private:
  std::uint64_t spent_ = 0, first_prompt_ = 0, last_prompt_ = 0, last_output_ = 0;
  bool first_ = true;
};

Task<ItemTrace> solve_item(SolveRun& run, ItemTrace trace);

// What models are asked; part of the recipe.
GenerateRequest first_request(const SolveOptions& options, const CodeTask& task);
std::string solve_wording_digest();

// A test as a step of the store, and back: the step's text is {"outcome", "why", "detail"}, its verdict on the principle
// "tests" complies or violates. A test that the sandbox could not run is no step.
struct TestResult {
  bool passed = false;
  std::string outcome, why, detail;
};
Result<TestResult> read_test(const StepRecord& step);

}  // namespace precept
