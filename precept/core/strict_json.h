#pragma once
// JSON from files nobody vouches for, and foreign text in error messages.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "precept/core/quote.h"
#include "precept/core/result.h"

namespace precept {

// Nesting that no file of ours needs; parsers and destructors of deeper trees could exhaust the stack.
inline constexpr int kMaxJsonDepth = 64;

// Offset of the first bracket that nests deeper than kMaxJsonDepth, outside of strings. Ask before parsing.
std::optional<std::size_t> nested_too_deeply(std::string_view json);

// Refuses what is not one JSON object, a key that stands twice in one object, and nesting deeper than
// 64; `line_base` is the line on which `text` begins in the file (0: the file has no lines).
Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& file, int line_base = 1);

}  // namespace precept
