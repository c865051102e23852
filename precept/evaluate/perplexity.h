#pragma once
// How surprising texts are to a model.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

struct Perplexity {
  std::int64_t texts = 0, unscored = 0, bytes = 0, tokens = 0;
  std::optional<double> bits_per_byte;  // comparable between tokenizers
  std::optional<double> per_token;      // exp of the mean negative log-probability
  Estimate text_bits_per_byte;          // mean over texts, with a t interval
};

// Each text is scored after its first word, or its first character where the script puts no spaces; a text with
// nothing after that, or longer than the context, is unscored. `in_flight` requests at a time. Needs a model that can
// score. Emits kProgress, stage "perplexity".
Result<Perplexity> perplexity(Model& model, const std::vector<std::string>& texts, const EventSink& events = {},
                              int in_flight = 128);

std::string to_json(const Perplexity& p);

}  // namespace precept
