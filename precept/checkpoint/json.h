#pragma once
// JSON of checkpoint files, which nobody vouches for. Internal to checkpoint/.

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "precept/core/result.h"

namespace precept::checkpoint_json {

// Refuses what is not one JSON object, a key that stands twice in one object, and nesting deeper than
// 64; `line_base` is the line on which `text` begins in the file (0: the file has no lines).
Result<nlohmann::json> parse_object(std::string_view text, const std::string& file, int line_base);

// A name for an error message: in quotes, escaped, shortened.
std::string in_quotes(std::string_view name);

}  // namespace precept::checkpoint_json
