#pragma once
// JSON into values and out of them.

#include <string>
#include <string_view>

#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

// All of it is marked as input. `what` names it in errors: "tools". Of a key that stands twice the last value counts.
Value from_json(Runtime& run, std::string_view json, const std::string& what);

struct JsonStyle {
  std::optional<Text> indent;  // one level
  Text item_separator, key_separator;
  bool ensure_ascii = false, sort_keys = false;
};

// As json.dumps of Python. Fails on what JSON does not have (undefined values, functions).
bool to_json(Runtime& run, const Value& value, const JsonStyle& style, Text& out, std::size_t depth = 0);

}  // namespace precept::jinja
