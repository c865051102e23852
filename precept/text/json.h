#pragma once
// JSON from files nobody vouches for. Internal to text/.

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "precept/core/result.h"

namespace precept {

// Refuses what is not one JSON object, naming the line, and nesting deeper than 64.
Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& file);

// A name for an error message: in quotes, escaped, shortened.
std::string in_quotes(std::string_view name);

}  // namespace precept
