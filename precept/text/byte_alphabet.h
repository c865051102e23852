#pragma once
// GPT-2's printable spelling of bytes, used inside tokenizer.json: printable Latin-1 characters stand
// for themselves, all other bytes for U+0100, U+0101, ... in order.

#include <optional>
#include <string>
#include <string_view>

namespace precept {

std::string to_byte_alphabet(std::string_view bytes);
// nullopt: a character is not of the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view spelled);

}  // namespace precept
