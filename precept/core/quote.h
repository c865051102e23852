#pragma once
// Foreign text in error messages.

#include <string>
#include <string_view>

namespace precept {

// At most 60 bytes of foreign text on one line, in quotes, for use in messages: control characters become spaces.
std::string in_quotes(std::string_view text);

}  // namespace precept
