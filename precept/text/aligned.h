#pragma once
// Text on its way to a model, and where each of its bytes came from.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "precept/text/text_span.h"

namespace precept {

// Valid UTF-8. Where nothing was changed `spans` is empty and byte i is byte base + i of the original;
// else there is one span a byte, that of the whole original character.
struct Aligned {
  std::string text;
  std::vector<TextSpan> spans;
  std::size_t base = 0;
  bool tracked = false;  // false: nobody asks where the text came from, `spans` stays empty

  // Makes `spans` explicit.
  void spell_out();
};

// One character of the new text: `change` > 0 inserts it, 0 replaces the next old character, -n replaces the next one and
// removes n more. The alignment is that of the character replaced, or, for an inserted one, of the byte before.
struct Change {
  std::uint32_t point;
  int change;
};
// Applies changes that cover the whole text; `skip` old characters are removed at the beginning.
void apply_changes(Aligned& text, const std::vector<Change>& changes, std::size_t skip = 0);

}  // namespace precept
