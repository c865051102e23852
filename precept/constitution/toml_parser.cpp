#include "precept/constitution/toml_parser.h"

#include <algorithm>
#include <utility>

#include "precept/constitution/toml_guard.h"
#include "precept/core/io.h"

namespace precept {
namespace {

// A message of the parser, which may quote control characters and be cut within a character.
std::string one_line(std::string_view text) {
  std::string out(text.substr(0, find_invalid_utf8(text).value_or(text.size())));
  std::replace_if(out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return out;
}

}  // namespace

Result<toml::table> parse_toml_text(std::string_view text, const std::string& file) {
  const Result<std::string> guarded = guard_toml(text);
  if (!guarded) return bad_input(guarded.error().what, guarded.error().hint, file, guarded.error().line);
  toml::parse_result result = toml::parse(*guarded);
  if (!result) {
    const toml::parse_error& problem = result.error();
    return bad_input("not TOML: " + one_line(problem.description()) + " (column " +
                         std::to_string(problem.source().begin.column) + ")",
                     "strings need quotes; see docs/formats.md", file, static_cast<int>(problem.source().begin.line));
  }
  return std::move(result).table();
}

int line_of_node(const toml::node& node) { return static_cast<int>(node.source().begin.line); }

const char* type_word(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "a list";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer:
    case toml::node_type::floating_point: return "a number";
    case toml::node_type::boolean: return "true or false";
    default: return "a date or time";
  }
}

}  // namespace precept
