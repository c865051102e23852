#pragma once
// toml++, for the sources of this folder alone: one set of switches, bounded nesting, errors in our words.

#include <string>
#include <string_view>

#undef TOML_HEADER_ONLY
#undef TOML_SHARED_LIB
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

#include "precept/core/result.h"

namespace precept {

// The tree of one file; an Error names the line. Brackets nest at most 64 deep, dotted keys 16 long.
Result<toml::table> parse_toml_text(std::string_view text, const std::string& file);

int line_of_node(const toml::node& node);

// "a table", "a string"...
const char* type_word(const toml::node& node);

}  // namespace precept
