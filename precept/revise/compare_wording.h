#pragma once
// The request that compares two replies, as Bai et al. 2022 (arXiv 2212.08073, section 4.1 and appendix E) ask it: two options, the
// probabilities of "A" and "B". The built-in model was never shown this; it compares by judging each (precept/feedback/labels.h).

#include <string>
#include <string_view>

#include "precept/constitution/constitution.h"
#include "precept/model/message.h"

namespace precept {

struct CompareRequest {
  std::string question;    // to be answered "A" or "B" at once
  std::string reasoning;   // asks for reasoning first
  std::string conclusion;  // ... and then for the letter
};

// A principle's own `preference` wording takes the place of the first line.
CompareRequest compare_request(const Conversation& messages, const Principle& principle, std::string_view first, std::string_view second);

}  // namespace precept
