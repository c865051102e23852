#pragma once
// Scoring over an endpoint: one chat completion of one token, whose candidates say how probable each option is.
// No network here; every reader takes hostile bytes.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/model/http_wire.h"
#include "precept/model/model.h"

namespace precept {

inline constexpr int kTopLogprobs = 20;  // as many as servers give

// The request about one question: max_tokens 1, logprobs, top_logprobs, temperature 1. The seed follows from the text: it
// decides only the token that is written, which nobody reads.
std::string score_body(const Conversation& messages, const std::string& tail, const std::string& name);

// The first token of an answer, with the candidates for it.
struct FirstToken {
  struct Candidate {
    std::string token;
    double logprob = 0;
  };
  std::vector<Candidate> candidates;  // empty: the server offers none
  Usage usage;
  std::string fingerprint;
};
std::optional<HttpProblem> parse_first_token(std::string_view body, FirstToken& out);

// Can an option be one token? Not empty, at most 16 bytes, no white space inside.
bool is_word(std::string_view option);

// The rule: a candidate counts for an option when both are the same text after white space around them (also the marks
// U+2581 and U+0120 that some servers show for a space) is dropped and ASCII letters are made small; an option's
// probability is the sum over its candidates. An option without a candidate is impossible (-infinity). Where all options
// together have less than 1% the first token is no answer: all are -infinity, which reads as unparseable.
std::vector<double> option_logprobs(const FirstToken& first, const std::vector<std::string>& options);

}  // namespace precept
