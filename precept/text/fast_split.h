#pragma once
// The split patterns of well-known model families, written by hand: the same pieces as the regular expression, several times
// faster (tests/text/split_test.cpp compares the two).

#include <cstddef>
#include <optional>
#include <string_view>

namespace precept {

enum class SplitFamily {
  kGpt2,    // GPT-2, RoBERTa, and whoever uses ByteLevel's own pattern
  kLlama3,  // Llama 3, cl100k: numbers of at most three digits
  kQwen2,   // Qwen 2 and later: digits one by one
};

std::string_view split_pattern(SplitFamily family);
std::optional<SplitFamily> family_of_pattern(std::string_view regex);

// End of the piece that begins at `at` (< text.size()). `text` is valid UTF-8.
std::size_t gpt2_piece_end(std::string_view text, std::size_t at);
std::size_t llama3_piece_end(std::string_view text, std::size_t at, std::size_t max_digits);

inline std::size_t piece_end(SplitFamily family, std::string_view text, std::size_t at) {
  if (family == SplitFamily::kGpt2) return gpt2_piece_end(text, at);
  return llama3_piece_end(text, at, family == SplitFamily::kLlama3 ? 3 : 1);
}

}  // namespace precept
