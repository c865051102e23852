#pragma once
// `precept revise --dry-run` and `precept generate --dry-run`: what the run would ask of its models, without a word to any endpoint or file.

#include <string>
#include <vector>

#include "cli/endpoint_options.h"
#include "precept/constitution/constitution.h"
#include "precept/core/result.h"
#include "precept/revise/revise.h"

namespace precept {

struct DryRun {
  std::string model, judge;  // as given; judge empty: the model itself
  EndpointOptions endpoint;  // for its prices
  bool json = false;
};

// Prints the forecast. Checkpoints lend their tokenizer; of endpoints nothing is known, and nothing is asked.
Result<int> dry_run(const DryRun& command, const Constitution& constitution, const ReviseOptions& options,
                    const std::vector<RunItem>& items);
// The same of single requests, each answered once.
Result<int> dry_run(const DryRun& command, const std::vector<GenerateRequest>& requests);

}  // namespace precept
