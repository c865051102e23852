#pragma once
// One line of JSONL as a JSON object, with the checks every reader of lines needs.

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/core/result.h"

namespace precept {

// Errors: not JSON (with the column), nested deeper than 64, a key twice in one object, not an object.
Result<nlohmann::json> parse_json_line(std::string_view line, const std::string& file, int number);

// Error naming the first key of `object` that is not in `known`.
Status check_keys(const nlohmann::json& object, const std::vector<std::string>& known, const std::string& file,
                  int number);

// True when there is nothing but ASCII white space and the ideographic space U+3000.
bool is_blank(std::string_view text);

}  // namespace precept
