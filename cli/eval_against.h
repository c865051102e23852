#pragma once
// `precept eval --against`: finding the other evaluation, and the comparison as text.

#include <string>

#include "precept/core/result.h"
#include "precept/evaluate/compare.h"

namespace precept {

struct StoredEvaluation {
  std::string path;
  Evaluation evaluation;
};

// Lower-case letters, digits and -: what a label may be made of.
bool is_label(const std::string& text);

std::string evaluation_path(const std::string& run, const std::string& label);

// `against` is RUN[:LABEL]. An empty RUN is `run`; without LABEL it is `label`. A folder whose own name has a
// colon is taken as it is. Refuses the evaluation of `run` and `label` itself.
Result<StoredEvaluation> load_against(const std::string& against, const std::string& run,
                                      const std::string& label);

// For people: a line a measure with the discordant pairs, the exact test and what it says about `after`.
std::string comparison_text(const StoredEvaluation& before, const StoredEvaluation& after);

}  // namespace precept
