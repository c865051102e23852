#pragma once
// `precept eval --against`: finding the other evaluation, and the comparison as text; of the latter, and of the checks, also what
// `precept solve --against` takes.

#include <optional>
#include <string>
#include <vector>

#include "precept/core/fields.h"
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

// The same in its parts: column heads, one line of them, and what the tests are.
std::string paired_top();
std::string paired_head(const char* name, const char* p);
std::string paired_line(const std::string& name, const Estimate& before, const Estimate& after, const PairedRate& rate, std::optional<double> p,
                        const char* standing);
inline constexpr const char* kPairedFoot =
    "p: exact McNemar on the pairs where only one side did it; better, worse or no clear difference at 5%, two-sided.\n";

// Without a model only what is stored can be compared; any other option would be passed over in silence. `usual`: the same fields
// with their defaults.
Status check_stored_only(const std::vector<Field>& given, const std::vector<Field>& usual, const std::string& hint);

}  // namespace precept
