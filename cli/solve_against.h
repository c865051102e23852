#pragma once
// `precept solve --against`: two runs on the same tasks, task by task, strategy by strategy.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/core/result.h"
#include "precept/feedback/solve.h"

namespace precept {

// One of the two: what a run folder tells of a `solve` run, or of one that is about to begin.
struct SolveSide {
  std::string run;                                           // its folder
  std::string tasks_digest, model_digest;
  std::vector<std::pair<std::string, std::string>> settings;  // what else its recipe says, and the budget that follows from it
  SolveTallies tallies;
};

// A run that is stored. kBadInput when the folder holds none.
Result<SolveSide> load_solve(const std::string& run);
// One of this recipe on these tasks, before it has a sample.
SolveSide planned_solve(const std::string& run, const std::string& recipe, const std::vector<CodeTask>& tasks);

// Refuses runs that say nothing about each other: other tasks, no strategy in common, or one and the same run.
Status comparable(const SolveSide& before, const SolveSide& after);

// solve-against.json; docs/formats.md lists its keys.
nlohmann::ordered_json solve_comparison_json(const SolveSide& before, const SolveSide& after);
std::string solve_comparison_text(const SolveSide& before, const SolveSide& after);

}  // namespace precept
