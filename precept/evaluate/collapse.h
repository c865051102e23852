#pragma once
// Signs that a model's answers have lost their variety: measured on texts alone.

#include <string>
#include <vector>

#include "precept/evaluate/evaluate.h"

namespace precept {

// `truncated` says of each answer whether it was cut off; as long as `answers`.
CollapseSigns collapse_signs(const std::vector<std::string>& answers, const std::vector<bool>& truncated);

// The words of a text: runs of what is not ASCII white space.
std::vector<std::string> split_words(const std::string& text);

// Does the text end in one phrase of 1 to 12 words said three times in a row? (Of phrases of one word, four
// times: "no, no, no" is speech.)
bool ends_in_a_loop(const std::vector<std::string>& words);

}  // namespace precept
