#pragma once
// The report of a comparison of methods: one HTML file that needs nothing else, in the style of a run's report.

#include <cstdint>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/evaluate/pooled.h"

namespace precept {

// One method, or the base that all begin with.
struct MethodReport {
  std::string name, about, stages;
  bool base = false;
  PooledRates rates;                       // of all runs
  PooledComparison change;                 // against the first method; without p: not compared
  std::optional<double> p_violations, p_help, p_refusals;  // by Holm over the methods
  std::int64_t generated = 0, read = 0, trained = 0, passes = 0;  // tokens of a run, mean of the runs
  bool cut = false;                        // by the budget
  struct Run {
    std::uint64_t seed = 0;
    PooledRates rates;
    std::vector<std::string> notes;
  };
  std::vector<Run> runs;
};

struct MethodsReportInput {
  std::string title = "Methods compared";
  std::vector<std::string> facts;          // a line below the title: model, constitution...
  std::string version;
  std::string scope;                       // what these numbers can and cannot show
  std::int64_t prompts = 0, held_out = 0, budget = 0;  // budget 0: none
  bool spend_all = false;                  // methods that end below the budget go on with further prompts
  std::vector<MethodReport> methods;       // in the order of the table
  std::string recipes;                     // TOML text of all
};

// Whole HTML document, UTF-8. Pure: the same input gives the same bytes.
std::string render_methods_report(const MethodsReportInput& input);

}  // namespace precept
