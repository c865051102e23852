#pragma once
// What the readers of answers share. Inside model/ only.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "precept/model/http_wire.h"

namespace precept::http_json {

using nlohmann::json;

// Discarded when it is not JSON or nested too deeply.
json parse_bounded(std::string_view text);

// "the server's answer WHAT", worth another attempt.
HttpProblem unreadable(const std::string& what);

// The field of an object; nullptr where it is missing or null, or `object` is none.
const json* find(const json& object, const char* key);

// Parses a 200 body into `root`; an error object in it is a problem as well.
std::optional<HttpProblem> parse_body(std::string_view body, json& root);

// A count, if it is there; false when it is something else.
bool read_count(const json& object, const char* key, std::int64_t& value);
bool read_usage(const json& root, Usage& usage);

// Why the answer ended; without a reason it is taken from answer.usage.
std::optional<HttpProblem> read_finish(const json& choice, const GenerateRequest& request, Generation& answer);

// system_fingerprint; empty where the server gives none.
std::string read_fingerprint(const json& root);

}  // namespace precept::http_json
