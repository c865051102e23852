#pragma once
// JSON of estimates and the like, shared by the files of this folder and by precept/report.

#include <string>

#include <nlohmann/json.hpp>

#include "precept/core/estimate.h"
#include "precept/core/result.h"
#include "precept/evaluate/compare.h"
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/familiarity.h"
#include "precept/evaluate/judge.h"
#include "precept/evaluate/perplexity.h"

namespace precept::json {

using Json = nlohmann::ordered_json;

// undefined and what is not finite -> null
Json number(std::optional<double> value);
Json estimate(const Estimate& e);
Json share(std::int64_t part, std::int64_t whole);  // of nothing: null
Json paired_rate(const PairedRate& rate, const char* standing);
Json comparison(const Comparison& c);
Json judge_quality(const JudgeQuality& q);
Json collapse(const CollapseSigns& c);
Json usage(const Usage& u);
Json perplexity(const Perplexity& p);
Json familiarity(const Familiarity& f);
Json verdicts(const VerdictCount& count);  // all of a run, not a sample: without intervals

// Text with invalid UTF-8 replaced by U+FFFD.
std::string dump(const Json& value, int indent = 2);

// Reads a file written by this program: bounded size and depth, errors with file and line.
Result<Json> load(const std::string& path, std::size_t max_bytes = std::size_t{256} << 20);

// Members of the right type, or nullopt.
std::optional<double> get_number(const Json& object, const char* key);
std::optional<std::string> get_text(const Json& object, const char* key);
std::optional<std::int64_t> get_integer(const Json& object, const char* key);
std::optional<bool> get_bool(const Json& object, const char* key);
Estimate get_estimate(const Json& object, const char* key);  // absent: undefined
Perplexity get_perplexity(const Json& value);                // what perplexity() wrote

}  // namespace precept::json
