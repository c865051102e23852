#pragma once
// A template's source as tokens. White space around tags is gone as in Jinja2 3.1 with trim_blocks and lstrip_blocks,
// comments are left out, and what stands in raw blocks is data.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"

namespace precept::jinja {

enum class TokenKind : std::uint8_t {
  kData, kOutputBegin, kOutputEnd, kBlockBegin, kBlockEnd, kName, kString, kInteger, kFloat, kOperator, kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  int line = 0;
  std::string text;  // data; a name; what a string literal means; digits; an operator
  double number = 0;
  std::int64_t integer = 0;
};

// Ends with a kEnd token. `source` is valid UTF-8.
Result<std::vector<Token>> tokenize(std::string_view source, const std::string& file);

}  // namespace precept::jinja
